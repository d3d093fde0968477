import { afterEach, expect, test, vi } from 'vitest';
import { get, newKey, post, Problem } from '../../src/lib/http';

afterEach(() => vi.unstubAllGlobals());

const answer = (status: number, body: string) => Promise.resolve(new Response(body, { status }));

test('a key is a UUID also where the browser offers none', () => {
  const bare = { getRandomValues: crypto.getRandomValues.bind(crypto) };
  const keys = new Set(Array.from({ length: 100 }, () => newKey(bare)));
  expect(keys.size).toBe(100);
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test('a broken line is tried once more with the same key', async () => {
  const fetched = vi.fn().mockRejectedValueOnce(new TypeError('broken')).mockImplementation(() => answer(200, '{"revision":2}'));
  vi.stubGlobal('fetch', fetched);
  expect(await post('/events/e1/ack', { note: '' })).toEqual({ revision: 2 });
  const keys = fetched.mock.calls.map(([, init]) => (init as { headers: Record<string, string> }).headers['Idempotency-Key']);
  expect(keys).toHaveLength(2);
  expect(keys[0]).toBe(keys[1]);
});

test('broken twice: nobody claims to know the outcome', async () => {
  vi.stubGlobal('fetch', vi.fn().mockRejectedValue(new TypeError('broken')));
  await expect(post('/events/e1/ack', {})).rejects.toMatchObject({ code: 'outcome_unknown' });
});

test('a refusal is not tried again and carries its code', async () => {
  const fetched = vi.fn(() => answer(409, '{"code":"not_open","detail":"e1"}'));
  vi.stubGlobal('fetch', fetched);
  await expect(post('/events/e1/close', {})).rejects.toEqual(new Problem(409, 'not_open', 'e1'));
  expect(fetched).toHaveBeenCalledTimes(1);
});

test('the page of a proxy is a problem too', async () => {
  vi.stubGlobal('fetch', vi.fn(() => answer(502, '<html>')));
  await expect(get('/ledger')).rejects.toMatchObject({ status: 502, code: 'http_502' });
});
