// Tells the conductor of the tests what vitest does, as lines of JSON in $AGENTIC_TEST_EVENTS.
//
// Two things in one file, as it is loaded twice. In vitest's own process it is a reporter. What a worker does reaches
// that process up to 100 ms late, and never if the worker dies or loops by then; so the reporter names this file as
// the `runner` of each project too, and in a worker it is a runner that writes `started` and `ended` by itself. Of tests,
// the reporter is left with the skipped ones and with projects that have a runner of their own.
// An error of ours never becomes an error of the run.

import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const { cut, safely, short, tell } = createRequire(import.meta.url)('./agentic_tell.cjs');

const FILE = fileURLToPath(import.meta.url);
const worker = globalThis.__vitest_worker__;
// What paths are relative to: a worker may be elsewhere by the time.
if (!worker) process.env.AGENTIC_TEST_HOME = process.cwd();
const HOME = process.env.AGENTIC_TEST_HOME || process.cwd();

function known(task) {
  const suites = [];
  for (let at = task.suite; at && at !== task.file; at = at.suite) suites.unshift(short(at.name));
  const file = task.file.filepath;
  return {
    id: path.relative(HOME, file) + '::' + [...suites, short(task.name)].join(' > '),
    name: short(task.name),
    suite: suites.length ? suites.join(' > ') : null,
    file,
    line: (task.location && task.location.line) || null,
  };
}

/** The tests to run, if not all: {"only": [ids]} or {"except": [ids]}. Vitest's own filters match parts of a path. */
const select = safely(() => JSON.parse(fs.readFileSync(process.env.AGENTIC_TEST_SELECT, 'utf8')));
const only = select && select.only ? new Set(select.only) : null;
const except = new Set((select && select.except) || []);
const wanted = (task) => (only ? only.has(known(task).id) : !except.has(known(task).id));
/** Leaves the others out; says whether any is left to run. */
function choose(task) {
  if (task.type !== 'suite') {
    if (!wanted(task)) task.mode = 'skip';
  } else if (task.tasks.map(choose).every((runs) => !runs)) task.mode = 'skip';
  return task.mode === 'run' || task.mode === 'queued';
}

const title = (error) => (error.name && !String(error.message).startsWith(error.name) ? error.name + ': ' : '') + error.message;
const causes = (error) => (error && error.cause ? [error.cause, ...causes(error.cause)] : []);
const whole = (error) => [error, ...causes(error)].map((one) => {
  const [stack, message] = [String(one.stack || ''), String(one.message)];
  // The stack begins with the message, where it is node's.
  const at = message ? stack.indexOf(message) : -1;
  return [title(one), one.diff, stack.slice(at < 0 ? 0 : at + message.length).trimEnd()].filter(Boolean).join('\n');
}).join('\nCaused by: ');
const brief = (error) => [error, ...causes(error)].map(title).join('\nCaused by: ');

function ended(task, status, errors, more) {
  const result = task.result || {};
  const attempts = 1 + (result.retryCount || 0) + (result.repeatCount || 0);
  tell('ended', {
    ...known(task),
    status,
    duration: (result.duration || 0) / 1000,
    message: status === 'failed' ? cut(errors.length ? brief(errors[0]) : 'failed') : null,
    output: status === 'failed' ? cut(errors.map(whole).join('\n\n'), true) : null,
    reason: status === 'skipped' ? cut(result.note || (task.mode === 'todo' ? 'todo' : null)) : null,
    ...(result.retryCount ? { attempts } : {}),
    ...more,
  });
}

const STATUS = { pass: 'passed', fail: 'failed', skip: 'skipped' };

/** What runs tests in a worker. */
async function ours() {
  const { TestRunner } = await import('vitest');
  const Base = TestRunner || (await import('vitest/runners')).VitestTestRunner;
  return class extends Base {
    onCollected(files, ...rest) {
      if (select) safely(() => files.forEach((file) => file.tasks.length && file.mode !== 'skip' && choose(file)));
      return super.onCollected?.(files, ...rest);
    }
    onBeforeRunTask(test) {
      const done = super.onBeforeRunTask?.(test);
      if (test.mode === 'run' || test.mode === 'queued') tell('started', safely(() => known(test)));
      return done;
    }
    onTaskFinished(test) {
      const done = super.onTaskFinished?.(test);
      // A test that skips itself has no other end.
      if (test.result?.pending || test.result?.state === 'skip') safely(() => ended(test, 'skipped', []));
      return done;
    }
    onAfterRunTask(test) {
      const done = super.onAfterRunTask?.(test);
      safely(() => ended(test, STATUS[test.result.state] || 'failed', test.result.errors || []));
      return done;
    }
  };
}

class Reporter {
  /** Files that have not ended. */
  open = new Set();
  /** Tests that were to run and did not, by file: why is known when the file ends. */
  unrun = new Map();
  toRun = new Set();

  onTestRunStart(specifications) {
    safely(() => {
      for (const { project } of specifications)
        if (!project.config.runner && !project.config.browser?.enabled) project.config.runner = FILE;
    });
  }

  onTestModuleQueued(module) {
    safely(() => {
      this.open.add(module.moduleId);
      tell('file_started', { file: module.moduleId });
    });
  }

  onTestModuleCollected(module) {
    safely(() => {
      for (const { task } of module.children.allTests()) if (task.mode === 'run' || task.mode === 'queued') this.toRun.add(task.id);
    });
  }

  onTestCaseReady(test) {
    if (test.project.config.runner !== FILE) tell('started', safely(() => known(test.task)));
  }

  onTestCaseResult(test) {
    safely(() => {
      const task = test.task;
      const { state, errors = [] } = test.result();
      const pattern = test.project.config.testNamePattern;
      const mine = test.project.config.runner !== FILE;
      if (state === 'failed' && task.logs?.length)
        tell('output', { id: known(task).id, output: cut(task.logs.map((log) => log.content).join(''), true) });
      if (state !== 'skipped') return mine ? ended(task, state, errors) : undefined;
      const names = [];
      for (let at = task; at && at !== task.file; at = at.suite) names.unshift(at.name);
      // Tests that a pattern or choice leaves out were never asked for.
      if ((pattern && !names.join(' ').match(pattern)) || !wanted(task)) return;
      if (!this.toRun.has(task.id)) ended(task, 'skipped', []);
      else if (!task.result?.pending) this.unrun.set(task.file.filepath, [...(this.unrun.get(task.file.filepath) || []), task]);
      else if (mine) ended(task, 'skipped', []);
    });
  }

  onTestModuleEnd(module) {
    safely(() => {
      const errors = [...module.errors()];
      this.open.delete(module.moduleId);
      for (const task of this.unrun.get(module.moduleId) || []) {
        const above = [];
        for (let at = task.suite || task.file; at; at = at === task.file ? null : at.suite || task.file) above.push(...(at.result?.errors || []));
        ended(task, above.length ? 'failed' : 'skipped', above);
      }
      for (const suite of module.children.allSuites()) {
        for (const error of suite.errors()) tell('error', { message: cut(brief(error)), file: module.moduleId });
      }
      const said = (module.task.logs || []).map((log) => log.content).join('');
      const text = errors.map((error) => brief(error)).join('\n\n');
      tell('file_ended', { file: module.moduleId, message: cut(text), output: cut(said, true) });
    });
  }

  onTestRunEnd(_modules, errors) {
    safely(() => {
      for (const error of errors) {
        const file = error.VITEST_TEST_PATH || null;
        if (!file && this.open.size) continue;
        tell('error', { message: cut(brief(error)), output: cut(whole(error), true), file, test: error.VITEST_TEST_NAME || null });
      }
      // A worker that dies is told of as an error of no file: it belongs to those that did not end.
      const lost = errors.filter((error) => !error.VITEST_TEST_PATH).map(brief).join('\n\n');
      for (const file of this.open) tell('file_ended', { file, message: cut(lost || 'the file did not end') });
    });
    tell('finished', {});
  }
}

export default worker ? await ours() : Reporter;
