// Reads values off the wire: the names of a dispatch's fields are known (discord-api-types), their values are not.
// A field that the contract requires and that is missing or of another type is Malformed. An optional text, number or
// boolean of another type is left out, because an event without an ornament is worth more than none.
// Malformed travels as a throw within this room only, from deep inside a payload to `toPayload`, which makes it a value.
// Its sentence names the field and the kind of what came, never what it held: payloads are private.

type NamesOf<T> = T extends unknown ? keyof T : never;

/** What came under the name of T. Of a union, the fields of every member may be asked for. */
export type Untrusted<T> = { readonly [K in NamesOf<T>]?: unknown };

export class Malformed extends Error {
  override readonly name = 'Malformed';

  constructor(path: string, expected: string, got: unknown) {
    super(`expected ${path} to be ${expected}, got ${kindOf(got)}`);
  }
}

/** Discord's ids: an unsigned 64-bit number as text. https://discord.com/developers/docs/reference#snowflakes */
const SNOWFLAKE = /^\d{1,20}$/;

export const isSnowflake = (value: unknown): value is string => typeof value === 'string' && SNOWFLAKE.test(value);

/** JSON has no infinity, but `1e999` is read as one. */
export const isNumber = (value: unknown): value is number => Number.isFinite(value);

export function object<T>(value: unknown, path: string): Untrusted<T> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Untrusted<T>;
  throw new Malformed(path, 'an object', value);
}

/** Something that may be absent, or null, which Discord uses for the same. */
export function optional<T>(value: unknown, path: string, read: (value: unknown, path: string) => T): T | undefined {
  return value === undefined || value === null ? undefined : read(value, path);
}

export function list(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Malformed(path, 'a list', value);
}

export function snowflake(value: unknown, path: string): string {
  if (isSnowflake(value)) return value;
  throw new Malformed(path, 'a snowflake', value);
}

export const optionalSnowflake = (value: unknown): string | undefined => (isSnowflake(value) ? value : undefined);

export const nullableSnowflake = (value: unknown): string | null | undefined =>
  value === null ? null : optionalSnowflake(value);

export function snowflakes(value: unknown, path: string): string[] {
  if (areSnowflakes(value)) return value;
  throw new Malformed(path, 'a list of snowflakes', value);
}

export const optionalSnowflakes = (value: unknown): string[] | undefined => (areSnowflakes(value) ? value : undefined);

export function text(value: unknown, path: string): string {
  if (typeof value === 'string') return value;
  throw new Malformed(path, 'text', value);
}

export const optionalText = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

export const nullableText = (value: unknown): string | null | undefined =>
  value === null || typeof value === 'string' ? value : undefined;

export const optionalTexts = (value: unknown): string[] | undefined =>
  Array.isArray(value) && value.every((item): item is string => typeof item === 'string') ? value : undefined;

export function integer(value: unknown, path: string): number {
  if (isInteger(value)) return value;
  throw new Malformed(path, 'an integer', value);
}

export const optionalInteger = (value: unknown): number | undefined => (isInteger(value) ? value : undefined);

export const nullableInteger = (value: unknown): number | null | undefined =>
  value === null ? null : optionalInteger(value);

export const optionalNumber = (value: unknown): number | undefined => (isNumber(value) ? value : undefined);

export const optionalBoolean = (value: unknown): boolean | undefined =>
  typeof value === 'boolean' ? value : undefined;

const isInteger = (value: unknown): value is number => Number.isSafeInteger(value);

function areSnowflakes(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isSnowflake);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
