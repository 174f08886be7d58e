//! What the worker needs of MongoDB: a server, a fit collection, its index, and rights.

use super::checklist::Finding;
use super::side::Side;
use crate::commands::servers::failed_mongodb;
use crate::config::{Config, W};
use crate::failure::Failure;
use crate::mongo::{
    Deployment, FoundIndex, IndexState, MongoDbError, MongoDbHandler, Rights, Topology,
    rollback_warning,
};

pub(super) const NAMES: [&str; 7] = [
    "mongodb.server",
    "mongodb.collection",
    "mongodb.read",
    "mongodb.write_concern",
    "mongodb.shard_key",
    "mongodb.index",
    "mongodb.privileges",
];

const SILENT: &str = "MongoDB gave no answer before";

pub(super) fn check(config: &Config, side: &mut Side) {
    let server = MongoDbHandler::connect(config).and_then(|mongodb| {
        mongodb.ping()?;
        let (version, deployment) = (mongodb.server_version()?, mongodb.deployment()?);
        Ok((mongodb, version, deployment))
    });
    let (mongodb, version, deployment) = match server {
        Ok(found) => found,
        Err(error) => {
            let advice = matches!(error, MongoDbError::Unavailable(_))
                .then_some("see whether the servers are up, and whether `mongodb.uri` names them");
            side.report(
                "mongodb.server",
                Finding::Failed(failed_mongodb(error), advice),
            );
            return side.skip_the_rest(SILENT);
        }
    };
    let kind = match deployment.topology {
        Topology::Standalone => "a standalone".to_owned(),
        Topology::ReplicaSet => {
            let members = deployment.data_members;
            format!("a replica set with {members} members that hold data")
        }
        Topology::Sharded => "a sharded cluster".to_owned(),
    };
    side.report(
        "mongodb.server",
        version.warning().map_or_else(
            || Finding::Ok(format!("version {}, {kind}", version.mongodb)),
            Finding::Warning,
        ),
    );
    if check_all(config, side, &mongodb, &deployment).is_err() {
        side.skip_the_rest(SILENT);
    }
}

/// MongoDB doesn't answer any more.
struct Silent;

fn check_all(
    config: &Config,
    side: &mut Side,
    mongodb: &MongoDbHandler,
    deployment: &Deployment,
) -> Result<(), Silent> {
    let namespace = mongodb.namespace();
    let collection = mongodb.check_collection().map(|exists| {
        Finding::Ok(if exists {
            format!("`{namespace}` can take documents")
        } else {
            format!("`{namespace}` doesn't exist yet; the worker creates it")
        })
    });
    report(side, "mongodb.collection", collection)?;

    let read = mongodb.check_find();
    let may_read = read.is_ok();
    let read = read.map(|()| Finding::Ok(format!("this client may read `{namespace}`")));
    report(side, "mongodb.read", read)?;

    let concern = mongodb.check_write_concern(deployment.topology);
    let concern = concern.map(|()| write_concern(config, deployment));
    report(side, "mongodb.write_concern", concern)?;

    let shard_key = match (
        deployment.topology,
        mongodb.shard_key_warning(deployment.topology),
    ) {
        (_, Some(warning)) => Finding::Warning(warning),
        (Topology::Sharded, None) => Finding::Ok("it keeps `_id` unique".to_owned()),
        (Topology::Standalone | Topology::ReplicaSet, None) => {
            Finding::Skipped("MongoDB is no sharded cluster".to_owned())
        }
    };
    side.report("mongodb.shard_key", shard_key);

    let indexes = mongodb.found_indexes();
    let exist = |indexes: &[FoundIndex<'_>]| {
        let is_missing = |found: &FoundIndex<'_>| found.state == IndexState::Missing;
        !indexes.iter().any(is_missing)
    };
    let has_indexes = indexes.as_deref().is_ok_and(exist);
    let words = indexes.and_then(|indexes| indexes_in_words(mongodb, &indexes));
    report(side, "mongodb.index", words)?;

    let rights = mongodb.rights(has_indexes);
    let rights = rights.map(|rights| rights_in_words(rights, may_read, &namespace));
    report(side, "mongodb.privileges", rights)
}

/// Reports a finding or an error. Fails if the error is that nobody answers.
fn report(
    side: &mut Side,
    name: &'static str,
    result: Result<Finding, MongoDbError>,
) -> Result<(), Silent> {
    match result {
        Ok(finding) => {
            side.report(name, finding);
            Ok(())
        }
        Err(error) => {
            let is_silent = matches!(error, MongoDbError::Unavailable(_));
            side.report(name, Finding::failed(failed_mongodb(error)));
            if is_silent { Err(Silent) } else { Ok(()) }
        }
    }
}

fn write_concern(config: &Config, deployment: &Deployment) -> Finding {
    let concern = &config.mongodb.write_concern;
    if let Some(warning) = rollback_warning(config, deployment.topology) {
        return Finding::Warning(warning.to_owned());
    }
    let members = deployment.data_members;
    match &concern.w {
        W::Nodes(nodes)
            if deployment.topology == Topology::ReplicaSet
                && usize::try_from(*nodes).is_ok_and(|nodes| nodes > members) =>
        {
            Finding::Warning(format!(
                "`mongodb.write_concern.w` is {nodes}, and the server names {members} members that hold data: unless \
                 there are hidden ones, no write can succeed; lower it, or set it to \"majority\""
            ))
        }
        W::Nodes(nodes) => Finding::Ok(format!("`w` is {nodes}")),
        W::Majority => Finding::Ok("`w` is \"majority\"".to_owned()),
        W::Tag(tag) => Finding::Ok(format!("`w` is \"{tag}\"")),
    }
}

/// One finding for all indexes: a failure before a warning, and a warning before what is well.
fn indexes_in_words(
    mongodb: &MongoDbHandler,
    indexes: &[FoundIndex<'_>],
) -> Result<Finding, MongoDbError> {
    let faults: Vec<String> = indexes.iter().filter_map(FoundIndex::fault).collect();
    if !faults.is_empty() {
        return Ok(Finding::failed(Failure::needs_operator(faults.join("; "))));
    }
    let (mut good, mut warnings) = (Vec::new(), Vec::new());
    for found in indexes {
        let fields = found.index.fields();
        match found.state {
            IndexState::Present => good.push(format!("the index on {fields} exists")),
            IndexState::OfAnotherName => {
                good.push(format!("another index on {fields} exists, and is kept"));
            }
            IndexState::NameTaken | IndexState::OtherOptions => warnings.push(format!(
                "the name of the index on {fields} belongs to an index on other fields, so that it will not be \
                 created: drop that one, or give it another name"
            )),
            IndexState::Missing => match mongodb.estimated_count()? {
                0 => good.push(format!(
                    "there is no index on {fields} yet; the worker creates it"
                )),
                count => warnings.push(format!(
                    "there is no index on {fields}: the worker's start builds it over about {count} documents, which \
                     takes time and loads the server"
                )),
            },
        }
    }
    Ok(match (warnings.is_empty(), good.is_empty()) {
        (false, _) => Finding::Warning(warnings.join("; ")),
        (true, false) => Finding::Ok(good.join("; ")),
        (true, true) => Finding::Skipped("`mongodb.indexes` is empty".to_owned()),
    })
}

fn rights_in_words(rights: Rights, may_read: bool, namespace: &str) -> Finding {
    match rights {
        Rights::WithoutLogin if may_read => {
            Finding::Ok("this client doesn't log in, and MongoDB asks for no login".to_owned())
        }
        Rights::WithoutLogin => Finding::Skipped("this client doesn't log in".to_owned()),
        Rights::LoggedIn { user, missing } if missing.is_empty() => {
            Finding::Ok(format!("the user `{user}` has all that it needs"))
        }
        Rights::LoggedIn { user, missing } => {
            let missing = missing.join("`, `");
            let why = format!(
                "the user `{user}` lacks `{missing}` on `{namespace}`: grant it the role `readWrite` on the database"
            );
            Finding::failed(Failure::needs_operator(why))
        }
        Rights::Unknown => Finding::Warning(
            "MongoDB doesn't tell the privileges: the role `readWrite` on the database has all that is needed"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_fails_and_is_named() {
        let rights = |missing: &[&'static str]| Rights::LoggedIn {
            user: "u".to_owned(),
            missing: missing.to_vec(),
        };
        let Finding::Failed(failure, _) = rights_in_words(rights(&["insert"]), true, "d.c") else {
            panic!("it can't write");
        };
        let text = failure.chain().to_string();
        assert!(text.contains("`insert` on `d.c`"), "{text}");
        assert!(matches!(
            rights_in_words(rights(&[]), true, "d.c"),
            Finding::Ok(_)
        ));
        let without = rights_in_words(Rights::WithoutLogin, false, "d.c");
        assert!(matches!(without, Finding::Skipped(_)));
    }
}
