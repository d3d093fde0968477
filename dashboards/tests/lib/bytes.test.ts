import { expect, test } from 'vitest';
import { bytesOf, hexDump, textOf } from '../../src/lib/bytes';

test('bytes, a dump and the text of a payload', () => {
  const bytes = bytesOf('7b2264223a22e6b688e998b222ff');
  expect([...bytes.slice(0, 2), bytes.length]).toEqual([0x7b, 0x22, 14]);
  expect(textOf(bytes)).toBe('{"d":"\u6d88\u9632"\ufffd');
  expect(hexDump(bytes)).toBe('00000000  7b 22 64 22 3a 22 e6 b6 88 e9 98 b2 22 ff        {"d":"......".');
});

test('sixteen bytes a line', () => {
  const lines = hexDump(new Uint8Array(33)).split('\n');
  expect(lines.map((line) => line.slice(0, 8))).toEqual(['00000000', '00000010', '00000020']);
});

test('nothing is nothing', () => {
  expect([hexDump(bytesOf('')), textOf(bytesOf(''))]).toEqual(['', '']);
});
