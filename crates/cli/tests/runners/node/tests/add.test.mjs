import { add } from '../src/add.mjs';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

describe('add', () => {
  test('adds small numbers', () => {
    assert.equal(add(1, 2), 3);
  });
  test('adds negative numbers', () => {
    assert.equal(add(-1, -2), -3);
  });
  test('adds wrongly', () => {
    console.log('about to add');
    assert.equal(add(2, 2), 5);
  });
  test.skip('adds fractions', () => {
    assert.equal(add(0.1, 0.2), 0.3);
  });
});

test('fails at first', () => {
  const attempt = process.env.AGENTIC_TEST_ATTEMPT || '1';
  assert.equal(attempt !== '1', true);
});
