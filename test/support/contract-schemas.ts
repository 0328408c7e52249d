// Whether what is published is as docs/asyncapi.json describes it, by another implementation of JSON Schema than
// ours. ajv comes with @asyncapi/parser.

import { Ajv } from 'ajv';
import { asyncApi } from '../../local/contract/asyncapi.ts';

const DOCUMENT = asyncApi();
const ajv = new Ajv({ strict: false, validateFormats: false }).addSchema(DOCUMENT, 'asyncapi');

/** @param message its name in the document @returns what is wrong, as sentences */
export function faultsOf(message: string, what: 'headers' | 'payload', value: unknown): readonly string[] {
  const described = DOCUMENT.components.messages[message];
  if (described === undefined) return [`no message ${message}`];
  if (described[what] === undefined) return [];
  const validate = ajv.compile({ $ref: `asyncapi#/components/messages/${message}/${what}` });
  validate(value);
  const faults = (validate.errors ?? []).map(({ instancePath, message = '' }) => `${what}${instancePath} ${message}`);
  if (what === 'payload') return faults;
  const { properties = {} } = DOCUMENT.components.schemas[described.headers?.$ref.split('/').at(-1) ?? ''] ?? {};
  const unknown = Object.keys(Object(value)).filter((name) => !(name in properties));
  return [...faults, ...unknown.map((name) => `headers has ${name}, which is not described`)];
}
