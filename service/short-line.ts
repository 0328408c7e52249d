// A line of the log that is too long, made short: an answer of another program, or a page, may have got into it. What a
// reader searches for stays: level, time, message, and the fields that are short. Pure.

/** Docker and CloudWatch's agents split a longer line. */
export const LONGEST_LINE = 16 * 1024;
const LONGEST_TEXT = 2_000;
/** Longer than any secret: one that the cut would divide is masked before. */
const LONGEST_SECRET = 4_096;
const MOST_ENTRIES = 30;
const DEEPEST = 5;

/** @param line a JSON object @param mask applied to what stands around a cut @returns at most LONGEST_LINE characters */
export function shortLine(line: string, mask: (text: string) => string): string {
  const fields = JSON.parse(line) as Record<string, unknown>;
  const short = JSON.stringify(shorten(fields, 0));
  if (short.length <= LONGEST_LINE) return short;
  const brief = ([, value]: [string, unknown]) => typeof value !== 'object' && String(value).length <= 100;
  return JSON.stringify({
    ...Object.fromEntries(Object.entries(fields).filter(brief).slice(0, MOST_ENTRIES)),
    msg: shorten(String(fields.msg), 0),
    leftOut: `the other fields: the line had ${line.length} characters`,
  });

  function shorten(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return cut(value);
    if (typeof value !== 'object' || value === null) return value;
    if (depth === DEEPEST) return '…';
    if (Array.isArray(value)) {
      const kept = value.slice(0, MOST_ENTRIES).map((each) => shorten(each, depth + 1));
      return value.length > MOST_ENTRIES ? [...kept, `… (${value.length} entries)`] : kept;
    }
    const entries = Object.entries(value);
    // The message is the last field of a line.
    const kept = depth === 0 ? entries : entries.slice(0, MOST_ENTRIES);
    return Object.fromEntries(kept.map(([name, each]) => [cut(name), shorten(each, depth + 1)]));
  }

  function cut(text: string): string {
    if (text.length <= LONGEST_TEXT) return text;
    const start = mask(text.slice(0, LONGEST_TEXT + LONGEST_SECRET)).slice(0, LONGEST_TEXT);
    return `${start}… (${text.length} characters)`;
  }
}
