// What tasks wrote during a disaster, in a file of a few kilobytes: only metrics that alarms read, and a value only when it
// differs from the one that the task wrote the minute before.

/** What one task wrote at one moment: values by metric, or by metric and queue. */
export interface Row {
  /** From the beginning of the disaster. */
  readonly second: number;
  readonly task: number;
  /** The line of a full minute, with every gauge. Lines in between have counters only. */
  readonly whole: boolean;
  readonly values: Readonly<Record<string, Value>>;
}

type Value = number | readonly number[];

export interface Recording {
  /** The bot's first deployment: no task ran before. */
  readonly first?: true;
  readonly rows: readonly Row[];
  /** How long the recording is. */
  readonly seconds: number;
}

/** So many values keep the percentiles of all. */
const SAMPLE = 10;

/** @param read the metrics to keep, as `Row` has them */
export function rowsOf(outputs: readonly string[], beganAt: number, read: ReadonlySet<string>): Row[] {
  return outputs
    .flatMap((output, task) => {
      const rows = new Map<number, { whole: boolean; values: Record<string, Value> }>();
      for (const line of output.split('\n')) {
        if (!line.startsWith('{"_aws"')) continue;
        const { _aws, Queue, ...values } = JSON.parse(line) as { _aws: { Timestamp: number }; Queue?: string } & Record<
          string,
          Value
        >;
        const row = rows.get(_aws.Timestamp) ?? { whole: false, values: {} };
        rows.set(_aws.Timestamp, row);
        row.whole ||= 'ResidentMemory' in values;
        for (const [name, value] of Object.entries(values)) {
          const key = Queue === undefined ? name : `${name} ${Queue}`;
          if (read.has(key)) row.values[key] = typeof value === 'number' ? rounded(value) : sampled(value);
        }
      }
      return [...rows]
        .map(([at, row]) => ({ second: Math.floor((at - beganAt) / 100) / 10, task, ...row }))
        .filter(({ second, values }) => second >= -60 && Object.keys(values).length > 0);
    })
    .toSorted((a, b) => a.second - b.second);
}

const rounded = (value: number): number => Number(value.toPrecision(3));

function sampled(values: readonly number[]): readonly number[] {
  const sorted = values.toSorted((a, b) => a - b).map(rounded);
  if (sorted.length <= SAMPLE) return sorted;
  return Array.from(
    { length: SAMPLE },
    (_, index) => sorted[Math.ceil(((index + 0.5) / SAMPLE) * sorted.length) - 1] ?? 0,
  );
}

/** One line for each row. */
export function written({ rows, ...rest }: Recording): string {
  const before = new Map<number, Row['values']>();
  const lines = rows.map(({ second, task, whole, values }) => {
    if (!whole) return JSON.stringify([second, task, 0, values]);
    const last = before.get(task) ?? {};
    before.set(task, values);
    const names = new Set([...Object.keys(last), ...Object.keys(values)]);
    const changed = [...names].filter((name) => JSON.stringify(last[name]) !== JSON.stringify(values[name]));
    return JSON.stringify([second, task, 1, Object.fromEntries(changed.map((name) => [name, values[name] ?? null]))]);
  });
  const { first, seconds } = rest;
  return `{${first ? '"first":true,' : ''}"seconds":${seconds},"rows":[\n${lines.join(',\n')}\n]}\n`;
}

export function readRecording(text: string): Recording {
  const { rows, ...rest } = JSON.parse(text) as {
    first?: true;
    seconds: number;
    rows: [second: number, task: number, whole: 0 | 1, values: Record<string, Value | null>][];
  };
  const before = new Map<number, Record<string, Value | null>>();
  return {
    ...rest,
    rows: rows.map(([second, task, whole, changes]) => {
      const all = whole ? { ...before.get(task), ...changes } : changes;
      if (whole) before.set(task, all);
      const values = Object.fromEntries(
        Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])),
      );
      return { second, task, whole: whole === 1, values };
    }),
  };
}
