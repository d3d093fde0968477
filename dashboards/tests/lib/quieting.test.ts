import { describe, expect, it } from 'vitest';
import { decisionOf, partsOf, whichText } from '../../src/lib/quieting';

describe('a reason', () => {
  it.each([
    ['silence:42', 'silence', '42', 42],
    ['inhibited:hydrant.tilt@gateway:gw1', 'inhibited', 'hydrant.tilt@gateway:gw1', null],
    ['suppressed', 'suppressed', '', null],
    ['', '', '', null],
  ])('%s', (reason, kind, detail, decision) => {
    expect(partsOf(reason)).toEqual({ kind, detail });
    expect(decisionOf(reason)).toBe(decision);
  });
});

it('says what a decision is about', () => {
  expect(whichText({ matchers: { rules: ['hydrant.*', 'lift.doors'], kinds: ['lift'] }, area: '330106' })).toBe(
    'hydrant.*, lift.doors · lift · 330106',
  );
  expect(whichText({ matchers: {}, area: '' })).toBe('');
});
