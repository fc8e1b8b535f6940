'use strict';
// Writes lines of JSON into $AGENTIC_TEST_EVENTS: what the reporters of jest, vitest and `node --test` have in common.
// An error of ours never becomes an error of the run.

const fs = require('fs');

const EVENTS = process.env.AGENTIC_TEST_EVENTS;
const MOST = 32 << 10;
const LINE = 128 << 10;
const NAME = 4 << 10;
// Kept, as a test may put its own in their place.
const append = fs.appendFileSync;

// A lone surrogate is no Unicode: strict readers of JSON refuse the line.
const clean = (text) =>
  String(text)
    .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, '')
    .replace(/\p{Surrogate}/gu, '\ufffd');

function cut(text, keepEnd) {
  if (text === undefined || text === null || text === '') return null;
  const bytes = Buffer.from(clean(text));
  if (bytes.length <= MOST) return bytes.toString();
  const part = (keepEnd ? bytes.subarray(bytes.length - MOST) : bytes.subarray(0, MOST)).toString();
  return keepEnd ? part.replace(/^\ufffd+/, '') : part.replace(/\ufffd+$/, '');
}

function tell(event, fields) {
  try {
    if (!EVENTS) return;
    const all = { event, ...fields };
    let line = JSON.stringify(all) + '\n';
    // Escapes can make a text six times as long.
    while (Buffer.byteLength(line) > LINE && (all.output || all.message)) {
      const [output, text] = [all.output || '', all.message || ''];
      if (output.length >= text.length) all.output = clean(output.slice(Math.ceil(output.length / 2)));
      else all.message = clean(text.slice(0, text.length >> 1));
      line = JSON.stringify(all) + '\n';
    }
    append(EVENTS, line);
  } catch {}
}

const safely = (does) => {
  try {
    return does();
  } catch {}
};

const short = (name) => clean(name).slice(0, NAME);

module.exports = { MOST, clean, cut, safely, short, tell };
