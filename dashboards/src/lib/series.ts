/** Readings as the chart and the table of states want them. Pure. */
import type { Readings, Value } from './wire';

export interface Series {
  atMs: number[];
  middle: (number | null)[];
  low: (number | null)[] | null;
  high: (number | null)[] | null;
}

const numeric = (value: Value | undefined): number | null => (typeof value === 'number' ? value : null);

/** A silence this many times the usual interval is a gap, not a line; some devices speak but once in hours. */
const GAP_INTERVALS = 5;

/** Numbers over time; with a step the band from least to most goes with the mean. Silences break the line. */
export function seriesOf(readings: Readings): Series {
  if ('mean' in readings) {
    const { t_ms: atMs, mean: middle, min: low, max: high } = readings;
    return broken({ atMs, middle, low, high }, Math.max(readings.step_ms, usualInterval(atMs)) * GAP_INTERVALS);
  }
  const { t_ms: atMs } = readings;
  return broken({ atMs, middle: readings.value.map(numeric), low: null, high: null }, usualInterval(atMs) * GAP_INTERVALS);
}

function usualInterval(atMs: number[]): number {
  const intervals = atMs.slice(1).map((at, i) => at - atMs[i]!);
  return intervals.sort((a, b) => a - b)[Math.floor(intervals.length / 2)] ?? Infinity;
}

/** An empty point goes into every silence longer than `gapMs`, so that no line is drawn over it. */
function broken(series: Series, gapMs: number): Series {
  const starts = series.atMs.flatMap((at, i) => (i > 0 && at - series.atMs[i - 1]! > gapMs ? [i] : []));
  if (starts.length === 0) return series;
  const opened = <T>(values: T[], filler: (i: number) => T) => {
    const at = new Set(starts);
    return values.flatMap((value, i) => (at.has(i) ? [filler(i), value] : [value]));
  };
  const blank = (values: (number | null)[] | null) => values && opened<number | null>(values, () => null);
  return {
    atMs: opened(series.atMs, (i) => series.atMs[i - 1]! + 1),
    middle: blank(series.middle)!,
    low: blank(series.low),
    high: blank(series.high),
  };
}

/** Least, most and last of what is there, for those who do not see the chart; `null` for an empty series. */
export function summary(series: Series): { low: number; high: number; last: number } | null {
  const present = (values: (number | null)[]) => values.filter((value) => value !== null);
  const middle = present(series.middle);
  const last = middle.at(-1);
  if (last === undefined) return null;
  const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b));
  const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b));
  return { low: least(present(series.low ?? middle)), high: most(present(series.high ?? middle)), last };
}

export interface Step {
  value: Value;
  fromMs: number;
  /** `null`: still so at the end of the readings. */
  toMs: number | null;
}

/** Runs of one value, newest first. */
export function stepsOf(atMs: number[], values: Value[]): Step[] {
  const steps: Step[] = [];
  atMs.forEach((at, i) => {
    const value = values[i] ?? null;
    const running = steps.at(-1);
    if (running && running.value === value) return;
    if (running) running.toMs = at;
    steps.push({ value, fromMs: at, toMs: null });
  });
  return steps.reverse();
}
