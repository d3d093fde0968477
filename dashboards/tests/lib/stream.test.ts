import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BACKOFF_LONGEST_MS, backoffMs, SILENCE_MS, Stream, type Cursor, type Socket } from '../../src/lib/stream';
import type { Frame } from '../../src/lib/wire';

class FakeSocket implements Socket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onclose: ((closed: { code: number }) => void) | null = null;
  sent: Record<string, unknown>[] = [];
  closed = false;
  send(text: string) {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close() {
    this.closed = true;
  }
  says(frame: Frame | string) {
    this.onmessage?.({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }
}

const HELLO: Frame = { t: 'hello', v: 1, server_time: '2026-11-22T06:00:00Z', ping_s: 15, epoch: 'b3f1', user: null };
let sockets: FakeSocket[];
let heard: Frame[];
let lines: [boolean, number][];
let cursor: Cursor | null;
let stream: Stream;
const last = () => sockets.at(-1)!;

beforeEach(() => {
  vi.useFakeTimers();
  [sockets, heard, lines, cursor] = [[], [], [], null];
  stream = new Stream({
    open: () => (sockets.push(new FakeSocket()), last()),
    frame: (frame) => heard.push(frame),
    line: (up, code) => lines.push([up, code]),
    cursor: () => cursor,
    deviceVersion: () => 512,
    now: () => Date.now(),
    random: () => 0.5,
  });
  stream.start();
  vi.advanceTimersByTime(0);
});

afterEach(() => {
  stream.stop();
  vi.useRealTimers();
});

test('subscribes after the hello and answers pings', () => {
  expect(last().sent).toEqual([]);
  last().says(HELLO);
  expect(last().sent).toEqual([{ t: 'sub', id: 1, ch: 'events', q: { area: '' } }]);
  last().says({ t: 'ping', server_time: '2026-11-22T06:00:15Z', through: 3 });
  expect(last().sent.at(-1)).toEqual({ t: 'pong' });
  expect(lines).toEqual([[true, 0]]);
});

test('comes back at once after a good line, and resumes where it stopped', () => {
  last().says(HELLO);
  stream.watchDevices(['LIFT-1']);
  cursor = { epoch: 'b3f1', seq: 88120 };
  vi.advanceTimersByTime(6000);
  last().onclose?.({ code: 1012 });
  vi.advanceTimersByTime(0);
  expect(sockets).toHaveLength(2);
  last().says(HELLO);
  expect(last().sent).toEqual([
    { t: 'sub', id: 1, ch: 'events', q: { area: '' }, resume: { epoch: 'b3f1', seq: 88120 } },
    { t: 'sub', id: 2, ch: 'devices', q: { area: '', devices: ['LIFT-1'] }, resume: { version: 512 } },
  ]);
});

test('a gap is followed by a new line with the place to resume from', () => {
  last().says(HELLO);
  cursor = { epoch: 'b3f1', seq: 7 };
  vi.advanceTimersByTime(6000);
  last().says({ t: 'gap', id: 1, reason: 'overflow' });
  expect(sockets[0]!.closed).toBe(true);
  vi.advanceTimersByTime(0);
  last().says(HELLO);
  expect(last().sent[0]).toMatchObject({ resume: { seq: 7 } });
});

test('is dead after a ping that was due and ten seconds more', () => {
  last().says(HELLO);
  vi.advanceTimersByTime(15_000 + SILENCE_MS - 1);
  expect(lines).toEqual([[true, 0]]);
  vi.advanceTimersByTime(1);
  expect(lines.at(-1)).toEqual([false, 0]);
  expect(sockets[0]!.closed).toBe(true);
});

test('a server that greets and falls over is not called back without a pause', () => {
  last().says(HELLO);
  last().onclose?.({ code: 1011 });
  vi.advanceTimersByTime(100);
  expect(sockets).toHaveLength(1);
  vi.advanceTimersByTime(BACKOFF_LONGEST_MS);
  expect(sockets).toHaveLength(2);
});

test('waking up calls back at once where the line is silent, and leaves a good one alone', () => {
  last().says(HELLO);
  stream.wake();
  expect(sockets[0]!.closed).toBe(false);
  vi.advanceTimersByTime(23_000);
  stream.wake();
  vi.advanceTimersByTime(0);
  expect(sockets).toHaveLength(2);
});

test('frames of devices no longer looked at, and what is no JSON, are left alone', () => {
  last().says(HELLO);
  stream.watchDevices(['A']);
  stream.watchDevices(['B']);
  expect(last().sent.slice(1).map((frame) => [frame.t, frame.id])).toEqual([['sub', 2], ['unsub', 2], ['sub', 3]]); // prettier-ignore
  last().says({ t: 'd', id: 2, version: 9, up: [] });
  last().says('{"t":');
  expect(heard.map((frame) => frame.t)).toEqual(['hello']);
  last().says({ t: 'd', id: 3, version: 9, up: [] });
  expect(heard.map((frame) => frame.t)).toEqual(['hello', 'd']);
});

test('stops for good', () => {
  last().says(HELLO);
  stream.stop();
  vi.advanceTimersByTime(120_000);
  expect(sockets).toHaveLength(1);
});

test('the wait is jittered between half a second and a doubling ceiling of twenty', () => {
  expect(backoffMs(0, () => 1)).toBe(0);
  for (let tries = 1; tries < 40; tries += 1) {
    expect(backoffMs(tries, () => 0)).toBe(500);
    expect(backoffMs(tries, () => 1)).toBe(Math.min(BACKOFF_LONGEST_MS, 500 * 2 ** tries));
  }
});
