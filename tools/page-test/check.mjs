// Checks the worker's page in a real browser:
//
//   node check.mjs URL STEP...
//   node check.mjs URL          reads the steps from standard input, one a line
//
// Each step is answered by one line, `ok STEP` or `failed STEP: why`. The first failure ends the run with exit code 1.
//
//   state NAME     waits until the page shows this state of the worker, such as `running`
//   gone           waits until the page says that the worker doesn't answer
//   content        every value on the page is the one of /status
//   steady         nothing on the page moves up or down while its values change
//   accessibility  axe-core finds nothing, light and dark, at three sizes, and nothing is wider than the window
//   keyboard       Tab reaches every link and button, and shows where it is
//   quiet          so far, no error in the console and no request to another host
import { strict as assert } from 'node:assert';
import { createInterface } from 'node:readline';
import { launch } from './browser.mjs';
import axe from 'axe-core';

const WAIT = 120_000;
const SIZES = [[360, 740], [820, 1180], [1440, 900]];

const [address, ...given] = process.argv.slice(2);
if (!address) {
  console.error('usage: node check.mjs URL [STEP...]');
  process.exit(2);
}
// Whatever hangs, the caller gets an end.
setTimeout(() => process.exit(3), 900_000).unref();

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
page.setDefaultTimeout(WAIT);
const complaints = [];
page.on('console', message => {
  if (message.type() === 'error') complaints.push(`console: ${message.text()}`);
});
page.on('pageerror', error => complaints.push(`exception: ${error.message}`));
page.on('request', request => {
  const url = new URL(request.url());
  if (url.protocol !== 'data:' && url.origin !== new URL(address).origin) complaints.push(`request to ${url}`);
});
let answered = 0;
page.on('response', response => {
  if (response.url().endsWith('/status')) answered += 1;
});
const response = await page.goto(address);
const policy = response.headers()['content-security-policy'] || '';

// --- reading the page ----------------------------------------------------------------------------

const text = async selector => (await page.locator(selector).textContent()).trim();
const texts = async selector => (await page.locator(selector).allTextContents()).map(one => one.trim());

// The numbers of a text: `1 234 of 5.6 MiB` has 1234 and 5872025.6.
const UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, ms: 0.001, min: 60, h: 3600, d: 86400 };
const numbers = shown =>
  [...shown.replaceAll('\u202f', '').matchAll(/(\d+(?:\.\d+)?)(?: ([A-Za-z]+))?/g)]
    .map(([, digits, unit]) => Number(digits) * (UNITS[unit] ?? 1));
const isInteger = (shown, value, what) =>
  assert.equal(shown.replaceAll('\u202f', ''), value === null ? '–' : String(value), what);
// `2 h 5 min` is a duration in two units; it may lack less than one of the smaller. Shorter ones are rounded.
const isDuration = (shown, value, what) => {
  if (value === null) return assert.equal(shown, '–', what);
  const sum = numbers(shown).reduce((a, b) => a + b, 0);
  const smallest = shown.endsWith('h') ? 3600 : shown.endsWith('min') ? 60 : 1;
  const rounded = value < 1 ? 0.00051 : value < 10 ? 0.051 : 0.51;
  const isRight = value < 59.9 ? Math.abs(value - sum) <= rounded : value - sum > -0.1 && value - sum < smallest + 0.1;
  assert.ok(isRight, `${what}: ${shown} for ${value} s`);
};
// Three digits are shown, or whole seconds.
const isNear = (shown, value) => Math.abs(shown - value) <= Math.max(Math.abs(value) * 0.006, value >= 10 ? 0.51 : 0.006);
const has = (shown, value, what) => assert.ok(isNear(numbers(shown)[0], value), `${what}: ${shown} for ${value}`);
const time = iso => new Date(iso).toISOString().slice(11, 19);

// --- steps ---------------------------------------------------------------------------------------

const waitForTitle = start => page.waitForFunction(start => document.title.startsWith(start), start, { polling: 100 });

// The page gets a few real answers and then always the last of them, so that it stands still.
const withFrozenAnswers = async (count, look) => {
  const answers = [];
  let repeated = 0;
  await page.route('**/status', async route => {
    if (answers.length < count) {
      const reply = await route.fetch();
      assert.equal(reply.status(), 200);
      answers.push(await reply.json());
    } else {
      repeated += 1;
    }
    await route.fulfill({ json: answers.at(-1) });
  });
  try {
    await until('the page shows the last answer', () => repeated >= 2);
    await look(answers);
  } finally {
    await page.unroute('**/status');
  }
};

const until = async (what, condition) => {
  const end = Date.now() + WAIT;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `waited in vain until ${what}`);
    await page.waitForTimeout(50);
  }
};

const rows = async selector => {
  const names = await texts(`${selector} dt`), values = await texts(`${selector} dd:not(.bar)`);
  assert.equal(names.length, values.length);
  return Object.fromEntries(names.map((name, index) => [name, values[index]]));
};

const checkState = async s => {
  const state = s.alive ? s.state.replaceAll('_', ' ') : 'not alive';
  const count = (s.partitions || []).length;
  assert.equal(await page.title(), `${state} · ${s.worker.topic}/${count} partition${count === 1 ? '' : 's'}`);
  assert.equal((await text('#word')).toLowerCase(), state);
  const notes = await texts('#notes li');
  for (const reason of s.reasons) assert.ok(notes.includes(reason), reason);
  assert.equal(await text('#ready'), s.ready ? 'yes' : 'no');
  assert.equal(await text('#alive'), s.alive ? 'yes' : 'no');
  assert.ok((await text('#for')).endsWith(time(s.state_since)));
  isDuration((await text('#for')).split(',')[0], (Date.parse(s.now) - Date.parse(s.state_since)) / 1000, 'for');
  for (const [id, connection, words] of [
    ['#kafka', s.kafka, ['unreachable', 'reachable']],
    ['#mongodb', s.mongodb, ['unavailable', 'available']],
  ]) {
    const shown = await text(id);
    assert.ok(shown.startsWith(`${words[Number(connection.available)]} since`) && shown.endsWith(time(connection.since)), shown);
  }
  if (s.pause) {
    const said = await text('#state');
    for (const part of [s.pause.by, s.pause.reason ?? '']) assert.ok(said.includes(part), part);
  }
};

const checkWorker = async ({ worker, uptime_seconds }) => {
  for (const [id, value] of [
    ['topic', worker.topic],
    ['group', worker.group],
    ['collection', `${worker.database}.${worker.collection}`],
    ['dead-letter-topic', worker.dead_letter_topic],
    ['instance', worker.instance],
    ['version', worker.version],
  ]) assert.equal(await text(`#${id}`), value);
  isDuration(await text('#uptime'), uptime_seconds, 'uptime');
};

const checkPartitions = async s => {
  const partitions = s.partitions || [];
  assert.equal(await page.locator('#partitions').isVisible(), partitions.length > 0);
  if (!partitions.length) return;
  const shown = await page.locator('#rows tr').evaluateAll(lines => lines.map(line => [
    ...[...line.firstChild.children].map(part => part.textContent),
    ...[...line.children].slice(1).map(cell => cell.textContent),
  ]));
  assert.equal(shown.length, partitions.length);
  for (const p of partitions) {
    const what = `partition ${p.partition}`;
    const [, stalled, lag, lagTime, inFlight, committed] = shown.find(([number]) => number === String(p.partition));
    assert.equal(stalled, p.stalled ? 'stalled' : '', what);
    isInteger(lag, p.lag, `lag of ${what}`);
    isDuration(lagTime, p.lag_seconds, `lag in time of ${what}`);
    isInteger(inFlight, p.in_flight, `in flight of ${what}`);
    isInteger(committed, p.committed_offset, `committed offset of ${what}`);
  }
  const summary = numbers(await text('#summary'));
  assert.equal(summary[0], partitions.length);
  const lags = partitions.map(p => p.lag).filter(lag => lag !== null);
  const sum = lags.reduce((a, b) => a + b, 0);
  if (sum) assert.ok(summary.includes(sum), `${sum} messages behind: ${await text('#summary')}`);
};

const checkLoad = async ({ writers, in_flight, resources }) => {
  const shown = await rows('#load');
  const limit = resources.memory_limit_bytes ?? resources.memory_worst_case_bytes;
  for (const [name, value, most] of [
    ['Writers busy', writers.busy, writers.threads],
    ['Messages in flight', in_flight.messages, in_flight.max_messages],
    ['Bytes in flight', in_flight.bytes, in_flight.max_bytes],
    ['Memory', resources.memory_bytes, limit],
    ['Open files', resources.open_files, resources.max_open_files],
  ]) {
    const [first, second] = numbers(shown[name]);
    assert.ok(isNear(first, value) && isNear(second, most), `${name}: ${shown[name]} for ${value} of ${most}`);
  }
  has(shown['Memory in the worst case'], resources.memory_worst_case_bytes, 'worst case');
  isDuration(shown['Oldest message in flight'], in_flight.oldest_seconds, 'oldest');
};

const checkTotals = async ({ totals }) => {
  const shown = await rows('#totals');
  for (const [name, value] of [
    ['Taken off Kafka', totals.consumed],
    ['Stored', totals.stored],
    ['Stored already, identical', totals.already_stored],
    ['Dead-lettered', totals.dead_lettered],
    ['Inserts tried again', totals.mongodb_retries],
    ['Commits failed', totals.commit_failures],
    ['Lost: deleted by retention', totals.offsets_skipped],
    ['Rebalances', totals.rebalances],
  ]) isInteger(shown[name], value, name);
  const reasons = await texts('#letters .name'), counts = await texts('#letters dd');
  const letters = Object.fromEntries(reasons.map((reason, index) => [reason, numbers(counts[index])[0]]));
  assert.deepEqual(letters, { ...totals.dead_lettered_by_reason });
};

const checkReplay = async ({ outage_replay: replay }) => {
  assert.equal(await page.locator('#replay').isVisible(), Boolean(replay));
  if (!replay) return;
  const said = await text('#replay');
  const { waiting, stored, failed } = replay;
  assert.deepEqual(numbers(said), [stored, failed, ...(waiting ? [waiting] : [])], said);
};

const checkProblems = async ({ problems }) => {
  const shown = await page.locator('#problems li').evaluateAll(items => items.map(item => ({
    level: item.querySelector('b').textContent,
    message: item.querySelector('q').textContent,
    at: item.querySelector('time').dateTime,
    shownAt: item.querySelector('time').textContent,
    fields: [...item.querySelectorAll('span')].map(field => field.textContent),
  })));
  assert.deepEqual(shown, problems.map(({ level, message, at, fields, count }, index) => {
    assert.ok(shown[index].shownAt.endsWith(time(at)));
    return {
      level: level + (count > 1 ? ` ×${String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f")}` : ''),
      message,
      at,
      shownAt: shown[index].shownAt,
      fields: Object.entries(fields).filter(([, value]) => value !== null).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`),
    };
  }));
};

const checkPlots = async answers => {
  const [a, b] = answers.slice(-2);
  const seconds = b.uptime_seconds - a.uptime_seconds;
  const shown = Object.fromEntries(await page.locator('figure').evaluateAll(all =>
    all.map(one => [one.querySelector('figcaption').textContent, one.querySelector('.value span').textContent])));
  const mean = name => {
    const [before, after] = [a.measurements[name], b.measurements[name]];
    return after.count > before.count ? (after.sum - before.sum) / (after.count - before.count) : null;
  };
  const lags = (b.partitions || []).map(p => p.lag).filter(lag => lag !== null);
  for (const [name, value] of [
    ['Stored', (b.totals.stored - a.totals.stored) / seconds],
    ['Dead-lettered', (b.totals.dead_lettered - a.totals.dead_lettered) / seconds],
    ['Lag', lags.length ? lags.reduce((x, y) => x + y, 0) : null],
    ['Delivery delay, mean', mean('delivery_delay_seconds')],
    ['MongoDB write, mean', mean('mongodb_write_seconds') === null ? null : mean('mongodb_write_seconds') * 1000],
    ['Batch size, mean', mean('batch_size')],
  ]) {
    // Without a new value, the page shows the last one for a while.
    if (value !== null) has(shown[name], value, name);
  }
};

const steps = {
  state: name => waitForTitle(`${name.replaceAll('_', ' ')} · `),

  gone: async () => {
    await waitForTitle('no answer · ');
    assert.ok(await page.locator('body.gone').isVisible());
    assert.equal(await text('#word'), 'No answer');
  },

  content: () => withFrozenAnswers(3, async answers => {
    const status = answers.at(-1);
    await checkState(status);
    await checkWorker(status);
    await checkPartitions(status);
    await checkLoad(status);
    await checkTotals(status);
    await checkReplay(status);
    await checkProblems(status);
    await checkPlots(answers);
  }),

  steady: async () => {
    // A number that is aligned to the right begins further left when it gets another digit: that is no jump.
    await page.evaluate(() => {
      globalThis.moved = [];
      globalThis.observer = new PerformanceObserver(entries => entries.getEntries().forEach(entry => {
        for (const { node, previousRect, currentRect } of entry.sources) {
          if (previousRect.y !== currentRect.y) moved.push(node?.id || node?.textContent || String(node));
        }
      }));
      observer.observe({ type: 'layout-shift' });
    });
    const before = answered;
    await until('the page got five more answers', () => answered >= before + 5);
    const moved = await page.evaluate(() => {
      observer.disconnect();
      return moved;
    });
    assert.deepEqual(moved, []);
  },

  accessibility: async () => {
    await page.evaluate(axe.source);
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        const found = await page.evaluate(async () => {
          const { violations, incomplete } = await globalThis.axe.run();
          // axe-core can't judge cells that the table's own scrolling hides.
          const isJudged = ({ target: [selector] }) => !document.querySelector(selector).closest('#partitions');
          const unclear = incomplete.map(one => ({ ...one, nodes: one.nodes.filter(isJudged) }));
          return [...violations, ...unclear.filter(one => one.nodes.length)]
            .map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html).join(' ')}`);
        });
        assert.deepEqual(found, [], `${width} px, ${colorScheme}`);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${wide} px wider than a window of ${width} px`);
      }
    }
  },

  keyboard: async () => {
    const all = 'a[href], button, [tabindex="0"]';
    for (const [width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      const expected = await page.evaluate(all => {
        globalThis.controls = [...document.querySelectorAll(all)].filter(node => node.checkVisibility());
        // The next Tab begins at the top.
        document.body.tabIndex = -1;
        document.body.focus();
        document.body.removeAttribute('tabindex');
        return controls.length;
      }, all);
      assert.ok(expected >= 4, 'there are links');
      const reached = new Set();
      for (let press = 0; press < expected; press += 1) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => {
          const node = document.activeElement, style = getComputedStyle(node), box = node.getBoundingClientRect();
          return {
            index: controls.indexOf(node),
            name: node.textContent.slice(0, 30),
            outline: style.outlineStyle === 'solid' ? parseFloat(style.outlineWidth) : 0,
            inside: box.bottom > 0 && box.top < innerHeight && box.width > 0,
          };
        });
        assert.ok(at.index >= 0 && at.outline >= 2 && at.inside, JSON.stringify(at));
        reached.add(at.index);
      }
      assert.equal(reached.size, expected, 'Tab reaches everything');
    }
    const button = page.locator('#heads button').nth(1);
    if (await button.isVisible()) {
      await button.focus();
      await page.keyboard.press('Enter');
      assert.equal(await page.locator('#heads th').nth(1).getAttribute('aria-sort'), 'descending');
      await page.locator('#heads button').first().press('Enter');
    }
  },

  quiet: () => {
    assert.match(policy, /default-src 'none'/, 'the page has a content security policy');
    assert.deepEqual(complaints, []);
  },
};

// --- the run -------------------------------------------------------------------------------------

const tooLong = () => new Promise((_, reject) => setTimeout(() => reject(new Error('it takes too long')), 2 * WAIT).unref());

const run = async line => {
  const [name, ...values] = line.trim().split(/\s+/);
  try {
    assert.ok(Object.hasOwn(steps, name), 'there is no such step');
    await Promise.race([steps[name](...values), tooLong()]);
    console.log(`ok ${line}`);
    return true;
  } catch (error) {
    console.log(`failed ${line}: ${error.message.replaceAll('\n', ' ')}`);
    return false;
  }
};

let passed = true;
for await (const line of given.length ? given : createInterface({ input: process.stdin })) {
  passed = await run(line);
  if (!passed) break;
}
await browser.close();
process.exit(passed ? 0 : 1);
