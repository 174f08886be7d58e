//! Message → document: a JSON message is checked and transcoded straight to raw BSON.
