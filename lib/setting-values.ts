// How a setting is read: zod's types, each with one sentence for its faults (the setting's name, what was expected, what
// came); and how what comes on the command line is merged over the file. The settings themselves: settings.ts.
import { z } from 'zod';

/** Every fault, one a line. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly faults: readonly string[];
  /** @param owner what the settings are for */
  constructor(owner: string, faults: readonly string[]) {
    super(`The settings of ${owner} cannot be deployed:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.faults = faults;
  }
}

/** @throws SettingsError with every fault of a single setting */
export function readBy<S extends z.ZodType>(schema: S, choices: unknown, owner: string): z.output<S> {
  const read = schema.safeParse(choices);
  if (read.success) return read.data;
  throw new SettingsError(owner, read.error.issues.map(sentence));
}

function sentence({ path, ...issue }: z.core.$ZodIssue): string {
  if (issue.code !== 'unrecognized_keys') return `${path.join('.') || 'settings'}: ${issue.message}`;
  const names = issue.keys.map((key) => [...path, key].join('.'));
  return `${names.join(', ')}: no such setting. See lib/settings.ts for those that exist`;
}

/**
 * What is in the file, and over it what came on the command line: an object, or its JSON. Objects are merged, all else
 * replaced.
 * @throws SettingsError where the text is no JSON, or zod would ignore a name
 */
export function merged(choices: unknown, given: unknown): unknown {
  const settings = overlaid(choices ?? {}, typeof given === 'string' ? parsed(given) : given);
  const ignored = ignoredNames(settings).map((name) => `${name}: JavaScript does not allow this name. Choose another`);
  if (ignored.length > 0) throw new SettingsError('an environment', ignored);
  return settings;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    const fault = `settings: expected JSON such as '{"shards":{"count":2}}', got: ${(error as Error).message}`;
    throw new SettingsError('an environment', [fault]);
  }
}

function overlaid(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  if (!isRecord(below) || !isRecord(above)) return above;
  const names = new Set([...Object.keys(below), ...Object.keys(above)]);
  return Object.fromEntries([...names].map((name) => [name, overlaid(below[name], above[name])]));
}

/** zod omits `__proto__` without a fault. */
function ignoredNames(value: unknown, path: readonly string[] = []): string[] {
  if (!isRecord(value)) return [];
  return Object.keys(value).flatMap((key) => {
    const at = [...path, key];
    return key === '__proto__' ? at.join('.') : ignoredNames(value[key], at);
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** For zod's `error`: what was expected, and what came. */
export function expected(what: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: (issue) => `expected ${what}, got ${show(issue.input)}` };
}

export function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  return typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value));
}

/** Settings of one name, each of which may be omitted. */
export function group<const S extends z.ZodRawShape>(settings: S) {
  return z.strictObject(settings).prefault({} as never);
}

/** Any number of settings of the same kind, by names that the deployer chooses. */
export function byName<const S extends z.ZodRawShape>(example: string, settings: S) {
  const each = z.strictObject(settings);
  return z.record(z.string(), each, expected(`an object such as ${example}`)).default({});
}

export function flag() {
  return z.boolean(expected('true or false')).default(false);
}

export function integer(least: number, most: number, what: string) {
  const error = expected(`a whole number of ${what} from ${least} to ${most}`);
  return z.number(error).int(error).min(least, error).max(most, error);
}

export function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, expected(`one of ${values.join(', ')}`));
}

export function text(pattern: RegExp, what: string) {
  return z.string(expected(what)).regex(pattern, expected(what));
}

export function list<T extends z.ZodType>(entry: T, what: string, least: number, most = Number.POSITIVE_INFINITY) {
  return z.array(entry, expected(what)).min(least, expected(what)).max(most, expected(what));
}

/** For zod: reads a text as the service does, whose sentence is the fault. */
export function parsedBy(parse: (text: string) => unknown) {
  return (given: string, context: z.RefinementCtx) => {
    try {
      parse(given);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
  };
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Of a resource in EC2. */
export function id(kind: 'vpc' | 'subnet' | 'sg') {
  return text(new RegExp(`^${kind}-([0-9a-f]{8}|[0-9a-f]{17})$`), `an id such as '${kind}-0123456789abcdef0'`);
}

export function secretArn() {
  return text(
    /^arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:.+-\w{6}$/,
    "a secret's whole ARN, with its last six characters",
  );
}

export function keyArn() {
  return text(/^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key\/[\w-]+$/, "a key's ARN, not an alias");
}

export function keys<K extends string>(record: Readonly<Record<K, unknown>>): [K, ...K[]] {
  return Object.keys(record) as [K, ...K[]];
}
