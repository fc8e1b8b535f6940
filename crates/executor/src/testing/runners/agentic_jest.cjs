'use strict';
// Tells the conductor of the tests what jest does, as lines of JSON in $AGENTIC_TEST_EVENTS.
//
// Put first among the reporters (`--reporters=<this> --reporters=default`): jest awaits them one after the other, so a
// slow one before ours would hold back `started`. An error of ours never becomes an error of the run.
// A test can end several times: an `ended` with "attempts" (circus retried it) or "revised" (the test had passed, then a
// timer of it threw) takes the place of the one before.

const path = require('path');

const { clean, cut, safely, short, tell } = require('./agentic_tell.cjs');

function known(file, test) {
  const suites = (test.ancestorTitles || []).map(short);
  return {
    id: path.relative(process.cwd(), file) + '::' + [...suites, short(test.title)].join(' > '),
    name: short(test.title),
    suite: suites.length ? suites.join(' > ') : null,
    file,
    line: (test.location && test.location.line) || null,
  };
}

// What a person reads first: the message without the stack below it.
const message = (text) => clean(text).split(/\n\s+at .*(?::\d+:\d+|<anonymous>|native)\)?(?:\n|$)/)[0].trim();

const status = (result) => ({ passed: 'passed', failed: 'failed' })[result.status] || 'skipped';

class Reporter {
  constructor(globalConfig) {
    // Tests that the pattern leaves out come as "pending": they were never asked for.
    const pattern = globalConfig && globalConfig.testNamePattern;
    safely(() => (this.pattern = pattern ? new RegExp(pattern, 'i') : null));
    this.told = new Map();
  }

  onTestFileStart(test) {
    safely(() => {
      this.told.set(test.path, new Map());
      tell('file_started', { file: test.path });
    });
  }

  onTestCaseStart(test, info) {
    safely(() => tell('started', known(test.path, info)));
  }

  onTestCaseResult(test, result) {
    safely(() => {
      this.ended(test.path, result);
      const told = this.told.get(test.path) || new Map();
      const { id } = known(test.path, result);
      this.told.set(test.path, told.set(id, [...(told.get(id) || []), status(result)]));
    });
  }

  ended(file, result, revised) {
    const about = known(file, result);
    const how = status(result);
    if (how === 'skipped' && this.pattern && !this.pattern.test(result.fullName)) return;
    const failures = result.failureMessages || [];
    const fields = {
      ...about,
      status: how,
      duration: (result.duration || 0) / 1000,
      message: how === 'failed' ? cut(message(failures[0] || 'failed')) : null,
      output: how === 'failed' ? cut(failures.join('\n\n'), true) : null,
      reason: result.status === 'todo' ? 'todo' : null,
    };
    if (result.invocations > 1) fields.attempts = result.invocations;
    if (revised) fields.revised = true;
    tell('ended', fields);
  }

  onTestFileResult(test, result) {
    safely(() => {
      const told = this.told.get(test.path) || new Map();
      this.told.delete(test.path);
      // Skipped tests are told of here only; what had passed may have failed since.
      for (const one of result.testResults || []) {
        const before = told.get(known(test.path, one).id) || [];
        const at = before.lastIndexOf(status(one));
        if (at < 0) this.ended(test.path, one, before.length > 0);
        else before.splice(at, 1);
      }
      const failed = result.testExecError;
      const own = failed && (failed.message || failed.stack || failed);
      // Beside tests, jest's text has their failures too; alone, it is the one with the code around the error.
      let text = failed && (result.testResults.length && typeof own === 'string' ? own : result.failureMessage || own);
      if (typeof text === 'string') text = text.replace(/^\s*● Test suite failed to run\s*/, '').trim();
      const said = (result.console || []).map((entry) => `${entry.type}: ${entry.message}`).join('\n');
      tell('file_ended', { file: test.path, message: cut(text || null), output: cut(said, true) });
    });
  }

  onRunComplete(_contexts, results) {
    safely(() => {
      const failed = results && results.runExecError;
      if (failed) tell('error', { message: cut(failed.stack || failed.message || failed), file: null });
    });
    tell('finished', {});
  }
}

module.exports = Reporter;
