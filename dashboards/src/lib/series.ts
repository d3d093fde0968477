/** Readings as the chart and the table of states want them. Pure. */
import type { Readings, Value } from './wire';

export interface Series {
  atMs: number[];
  middle: (number | null)[];
  low: (number | null)[] | null;
  high: (number | null)[] | null;
}

const numeric = (value: Value | undefined): number | null => (typeof value === 'number' ? value : null);

/** Numbers over time; with a step the band from least to most goes with the mean. */
export function seriesOf(readings: Readings): Series {
  if ('mean' in readings) {
    const { t_ms: atMs, mean: middle, min: low, max: high } = readings;
    return { atMs, middle, low, high };
  }
  return { atMs: readings.t_ms, middle: readings.value.map(numeric), low: null, high: null };
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
