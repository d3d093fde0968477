/** Times as people read them: always in the time zone of the site, never in the browser's. */
import { preferences } from '../lib/preferences.svelte';
import { session } from '../lib/session.svelte';

type Moment = string | number;

const formats = new Map<string, Intl.DateTimeFormat>();

function format(moment: Moment, name: string, options: Intl.DateTimeFormatOptions): string {
  const key = `${preferences.language}|${session.timeZone}|${name}`;
  let formatter = formats.get(key);
  if (!formatter) {
    const zoned = { ...options, timeZone: session.timeZone, hourCycle: 'h23' as const };
    formats.set(key, (formatter = new Intl.DateTimeFormat(preferences.language, zoned)));
  }
  return formatter.format(typeof moment === 'number' ? moment : Date.parse(moment));
}

const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
const DAY = { month: '2-digit', day: '2-digit' } as const;

/** 14:32:07 */
export function clockTime(moment: Moment): string {
  return format(moment, 'clock', CLOCK);
}

/** 11-22 14:32:07, in the order of the language */
export function dayTime(moment: Moment): string {
  return format(moment, 'day', { ...DAY, ...CLOCK });
}

/** 14:32, or the day where the hour is midnight: marks of a time axis */
export function axisTime(atMs: number, withDay: boolean): string {
  const time = format(atMs, 'axis', { hour: '2-digit', minute: '2-digit' });
  return withDay ? `${format(atMs, 'axisDay', DAY)}\n${time}` : time;
}

/** The day alone where it is another day than `nowMs`, else the clock alone. */
export function shortTime(moment: Moment, nowMs: number): string {
  const date = (m: Moment) => format(m, 'date', { ...DAY, year: 'numeric' });
  return date(moment) === date(nowMs) ? clockTime(moment) : dayTime(moment);
}

/** GMT+8 */
export function zoneName(nowMs: number): string {
  const parts = new Intl.DateTimeFormat('en', { timeZone: session.timeZone, timeZoneName: 'short' }).formatToParts(nowMs);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
}

const UNITS = [['day', 86_400_000], ['hour', 3_600_000], ['minute', 60_000], ['second', 1000]] as const; // prettier-ignore

/** 2 h 5 min: the two largest units. */
export function duration(ms: number): string {
  let rest = Math.max(0, ms);
  const parts: string[] = [];
  for (const [unit, unitMs] of UNITS) {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    if (count > 0 || (parts.length === 0 && unit === 'second')) parts.push(inUnit(count, unit));
    else if (parts.length === 0) continue;
    if (parts.length === 2 || unit === 'second') break;
  }
  return parts.join(preferences.language === 'en' ? ' ' : '');
}

function inUnit(count: number, unit: Intl.NumberFormatOptions['unit'] & string): string {
  return new Intl.NumberFormat(preferences.language, { style: 'unit', unit, unitDisplay: 'narrow' }).format(count);
}

/** 40 ms, 1.2 s */
export function lag(ms: number): string {
  const seconds = ms >= 1000;
  const options = { style: 'unit', unit: seconds ? 'second' : 'millisecond', unitDisplay: 'short' } as const;
  return new Intl.NumberFormat(preferences.language, { ...options, maximumFractionDigits: 1 }).format(seconds ? ms / 1000 : ms);
}
