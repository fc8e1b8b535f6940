const { add } = require('../src/add.js');

describe('add', () => {
  test('adds small numbers', () => {
    expect(add(1, 2)).toBe(3);
  });
  test('adds negative numbers', () => {
    expect(add(-1, -2)).toBe(-3);
  });
  test('adds wrongly', () => {
    console.log('about to add');
    expect(add(2, 2)).toBe(5);
  });
  test.skip('adds fractions', () => {
    expect(add(0.1, 0.2)).toBe(0.3);
  });
});

test('fails at first', () => {
  const attempt = process.env.AGENTIC_TEST_ATTEMPT || '1';
  expect(attempt !== '1').toBe(true);
});
