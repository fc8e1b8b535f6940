'use strict';
// Tells the conductor of the tests what `node --test` does, as lines of JSON in $AGENTIC_TEST_EVENTS.
//
// Two things in one file, as it is loaded twice. In node's own process it is a reporter, and there it has this file
// preloaded into the process of each test file: what such a process says comes by a stream that is empty if the
// process loops or dies, so there `started` and `ended` are written at once, by methods of node's class Test. Node has
// no documented hook that does (`beforeEach` is not called before `before`, `afterEach` does not know the verdict).
// Where the class is not as known, the reporter says of tests what the stream says.
// CommonJS, as `--import` would have node load every test file as a module: those of `--require ts-node/register` break.
// An error of ours never becomes an error of the run.

const { createHook } = require('node:async_hooks');
const fs = require('node:fs');
const path = require('node:path');

const { MOST, cut, safely, short, tell } = require('./agentic_tell.cjs');

const { env } = process;
const HOME = process.cwd();

function about(file, names, line) {
  const cutNames = names.map(short);
  return {
    id: path.relative(HOME, file) + '::' + cutNames.join(' > '),
    name: cutNames.at(-1),
    suite: cutNames.length > 1 ? cutNames.slice(0, -1).join(' > ') : null,
    file,
    line: line || null,
  };
}

/** The tests to run, if not all: {"only": [ids]} or {"except": [ids]}. Node's own pattern cannot name one test. */
const select = safely(() => JSON.parse(fs.readFileSync(env.AGENTIC_TEST_SELECT, 'utf8')));
const only = select && Array.isArray(select.only) ? select.only : null;
const except = new Set((select && select.except) || []);
const below = (id) => only.some((one) => one.startsWith(id + ' > '));
/** With a test, what it has inside runs too, unless that is named itself. */
const wanted = (id, parent) => (only ? only.includes(id) || below(id) || (parent !== null && !below(parent)) : !except.has(id));

const object = (value) => typeof value === 'object' && value !== null;
// Node wraps what was thrown.
const thrown = (error) => (object(error) && error.code === 'ERR_TEST_FAILURE' && object(error.cause) ? error.cause : error);
const brief = (error) => (object(error) && 'message' in error ? `${error.name || 'Error'}: ${String(error.message).trim()}` : String(error));
const whole = (error) => (object(error) && error.stack) || brief(error);

function ended(known, { passed, skipped, todo, why, error, seconds }) {
  const status = skipped || todo ? 'skipped' : passed ? 'passed' : 'failed';
  const failure = status === 'failed' ? thrown(error) : null;
  tell('ended', {
    ...known,
    status,
    duration: seconds,
    message: status === 'failed' ? cut(brief(failure)) : null,
    output: status === 'failed' ? cut(whole(failure), true) : null,
    reason: status === 'skipped' ? cut(why || (todo ? 'todo' : null)) : null,
  });
}

// Tests that the pattern leaves out were never asked for.
const UNASKED = 'test name does not match pattern';

/** Calls `found` with the prototype of node's class Test, once there is a test; nothing if it is not as known. */
function withTests(found) {
  const hook = createHook({
    init(_id, _type, _trigger, resource) {
      safely(() => {
        let proto = resource;
        while (proto && !Object.hasOwn(proto, 'addReadySubtest')) proto = Object.getPrototypeOf(proto);
        if (!proto) return;
        hook.disable();
        if (['run', 'duration'].every((name) => typeof proto[name] === 'function')) found(proto, resource);
      });
    },
  }).enable();
}

/** In the process of a test file. */
function watch(Test, file) {
  const running = new Set();
  const told = new WeakSet();
  const real = (test) => test.parent && !test.filtered && !test.hookType && test.reportedType !== 'suite';
  const known = (test) => {
    const names = [];
    for (let at = test; at && at.parent; at = at.parent) names.unshift(at.name);
    return about(file, names, test.loc && test.loc.file === file ? test.loc.line : null);
  };
  const { run, addReadySubtest } = Test;
  Test.run = function (...args) {
    safely(() => {
      if (!real(this)) return;
      if (!wanted(known(this).id, real(this.parent) ? known(this.parent).id : null)) {
        this.fn = () => {};
        this.skipped = true;
        this.message = UNASKED;
      }
      if (this.skipped) return;
      running.add(this);
      const within = real(this.parent) ? { within: known(this.parent).id } : {};
      tell('started', { ...known(this), ...within });
    });
    return run.apply(this, args);
  };
  // The first call after a verdict, before the next test runs.
  Test.addReadySubtest = function (test, ...rest) {
    safely(() => {
      running.delete(test);
      let { error } = test;
      if (!real(test)) {
        if (error && error.failureType !== 'subtestsFailed') tell('error', { message: cut(brief(thrown(error))), output: cut(whole(thrown(error)), true), file });
        return;
      }
      if ((test.skipped && test.message === UNASKED) || told.has(test)) return;
      told.add(test);
      // A test that was not reached, as a hook failed: the hook says why.
      if (error && error.failureType === 'cancelledByParent' && test.parent.parent && test.parent.error) error = test.parent.error;
      const { passed, skipped, isTodo: todo, message: why } = test;
      ended(known(test), { passed, skipped, todo, why, error, seconds: test.duration() / 1000 });
    });
    return addReadySubtest.call(this, test, ...rest);
  };
  // Node takes `process.exit(0)` for a file that passed.
  process.on('exit', (code) => {
    for (const test of running) tell('error', { message: `the process exited with code ${code} while the test ran`, file, id: safely(() => known(test).id) });
  });
}

const OURS = 'AGENTIC_TEST_NODE';
/** Whether the processes of test files tell of their tests. */
let direct = false;
const [runner, options] = safely(() => JSON.parse(env[OURS])) || [];
if (env.NODE_TEST_CONTEXT === 'child-v8' && runner === process.ppid) {
  // Processes that the tests start are none of ours.
  delete env[OURS];
  if (options === null) delete env.NODE_OPTIONS;
  else env.NODE_OPTIONS = options;
  const file = path.resolve(process.argv[1] || '');
  safely(() => withTests((Test) => watch(Test, file)));
} else if (!env.NODE_TEST_CONTEXT) {
  // The first tests of the runner are its test files, and made before it starts a process.
  safely(() =>
    withTests((_proto, first) => {
      // With --test-isolation=none there are none.
      if (first.constructor.name !== 'FileTest') return;
      env[OURS] = JSON.stringify([process.pid, env.NODE_OPTIONS ?? null]);
      env.NODE_OPTIONS = `${env.NODE_OPTIONS || ''} --require=${JSON.stringify(__filename)}`.trim();
      direct = true;
    }),
  );
}

/** The reporter. */
module.exports = async function* reporter(source) {
  const files = new Map();
  const at = (file) => files.get(file) || files.set(file, { said: '', names: [] }).get(file);
  const handle = ({ type, data }) => {
    const { name, nesting, details = {} } = data || {};
    const file = data && path.resolve(data.file || name || '');
    const isFile = nesting === 0 && name !== undefined && path.resolve(name) === file;
    if (type === 'test:stdout' || type === 'test:stderr') at(file).said = (at(file).said + data.message).slice(-2 * MOST);
    else if (type === 'test:dequeue' && isFile) tell('file_started', { file });
    else if (type === 'test:complete' && isFile) {
      const { said } = at(file);
      const error = details.error || null;
      // Failures of its tests are told as theirs.
      const alone = error && (error.signal || error.failureType !== 'subtestsFailed');
      const how = error && (error.signal ? `signal ${error.signal}` : Number.isInteger(error.exitCode) ? `exit code ${error.exitCode}` : brief(thrown(error)));
      tell('file_ended', { file, message: alone ? cut(`${how}\n${said.slice(-4096)}`.trim()) : null, output: cut(said, true) });
      files.delete(file);
    } else if (type === 'test:diagnostic' && /^Error: /.test(data.message)) tell('error', { message: cut(data.message), file: data.file || null });
    else if (!direct && type === 'test:dequeue' && details.type !== 'suite') {
      at(file).names.length = nesting;
      at(file).names[nesting] = name;
      tell('started', about(file, at(file).names, data.line));
    } else if (!direct && type === 'test:complete' && details.type !== 'suite' && data.skip !== UNASKED) {
      const names = [...at(file).names.slice(0, nesting), name];
      const passed = !details.error;
      const why = [data.skip, data.todo].find((one) => typeof one === 'string');
      const [skipped, todo] = [data.skip !== undefined, data.todo !== undefined];
      ended(about(file, names, data.line), { passed, skipped, todo, why, error: details.error, seconds: (details.duration_ms || 0) / 1000 });
    }
  };
  try {
    for await (const event of source) safely(() => handle(event));
  } catch {}
  tell('finished', {});
};
