// The AsyncAPI document as a page for people: one file without a script, which loads nothing. Pure.

import { Html, html } from '../../service/status/html.ts';
import type { AsyncApi, Channel, Message } from './asyncapi.ts';
import type { Schema, Schemas } from './json-schema.ts';

type Cell = string | Html;

const STYLE = new Html(`
  :root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: light-dark(#0550ae, #79c0ff) }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.6rem } h2 { margin-top: 3.5rem; border-bottom: 1px solid var(--line) } h3 { margin: 3rem 0 .3rem }
  h3, code, pre { font-family: ui-monospace, monospace } code { font-size: .88em } a, summary { color: var(--accent) }
  h3, p, td { overflow-wrap: anywhere } p { max-width: 52rem; margin: .5rem 0 } .muted { opacity: .75; font-size: .9rem }
  table { border-collapse: collapse; width: 100%; margin: 1rem 0 } th { white-space: nowrap }
  th, td { text-align: left; padding: .35rem 1rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
  pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .8rem; line-height: 1.4 }
  details { margin: .4rem 0 } summary { cursor: pointer }
  @media (min-width: 44rem) { td code { white-space: nowrap } }
  @media (max-width: 44rem) {
    thead { display: none } tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line) }
    td { display: block; border: 0; padding: 0 } td:not(:first-child, :empty, [data-of=type], [data-of=meaning])::before { content: attr(data-of) ': '; opacity: .75 }
  }
`);

export function page({ info, channels, operations, components }: AsyncApi): string {
  const { messages, schemas } = components;
  const all = Object.values(messages);
  const isEvent = ({ headers }: Message) => headers !== undefined && EVENT_HEADERS.includes(nameOf(headers));
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The contract with workers · ${info.title}</title>
<style>${STYLE}</style>
<h1>${info.title}: the contract with workers</h1>
<p class="muted">Version ${info.version}. For programs: <a href="asyncapi.json">AsyncAPI</a>, and JSON Schema of
<a href="discord-event-payload.schema.json">events</a> and of <a href="discord-command.schema.json">commands</a>.</p>
<p>${info.description}</p>
<h2>Queues</h2>
${table(['queue', 'bound to', 'policy, by default'], Object.values(channels).flatMap(queueRow))}
<h2>Routing keys</h2>
${table(
  ['routing key', 'exchange', 'priority', 'expires after'],
  Object.values(operations).map(({ channel: { $ref }, messages: [first = { $ref }], summary, bindings: { amqp } }) => {
    const { address = '', bindings } = channels[nameOf({ $ref })] ?? {};
    const exchange = (bindings as { amqp: { exchange?: { name: string } } } | undefined)?.amqp.exchange?.name ?? '';
    const of = html`<a href="#${nameOf(first)}"><code>${address}</code></a><br>${summary}`;
    return [of, code(exchange), `${amqp.priority ?? ''}`, amqp.expiration ? duration(Number(amqp.expiration)) : ''];
  }),
)}
${Object.entries(Object.assign({}, ...Object.values(channels).map(({ parameters }) => parameters)) as Parameters).map(
  ([name, { description, enum: values = [] }]) =>
    html`<p>${code(`{${name}}`)}: ${marked(description)} ${values.length === 0 ? '' : html`One of ${values.join(', ')}.`}</p>`,
)}
<h2>Headers of events</h2>
<p>Headers and fields with ? may be missing.</p>
${fieldTable(schemas[EVENT_HEADERS[1]], schemas)}
<h2>Events</h2>
<p>A Snowflake is an id of Discord's: digits in a string. <code>data</code> is open: what Discord adds reaches workers.</p>
${all.filter(isEvent).map((message) => section(message, schemas))}
<h2>Commands</h2>
<p>${operations.commands?.summary ?? ''} ${operations.commands?.description ?? ''}</p>
${all.filter((message) => !isEvent(message)).map((message) => section(message, schemas))}
</html>
`.text;
}

type Parameters = NonNullable<Channel['parameters']>;

/** Described once, as they are the same for every event. */
const EVENT_HEADERS = ['EventHeaders', 'PartHeaders'] as const as readonly [string, string];

function queueRow(channel: Channel): readonly Cell[][] {
  const { address, summary = '', 'x-bindings': bindings, 'x-policy': policy = {} } = channel;
  if (bindings === undefined) return [];
  const keys = bindings.map(({ exchange, routingKey }) => html`${code(`${exchange} ${routingKey}`)}<br>`);
  const texts = Object.entries(policy).map(
    ([name, value = '']) => html`${code(`${name} ${readable(name, value)}`)}<br>`,
  );
  return [[html`${code(address)}<br>${summary}`, html`${keys}`, html`${texts}`]];
}

function readable(name: string, value: string | number | boolean): string {
  if (typeof value !== 'number') return String(value);
  if (value < 0) return 'none';
  if (name.endsWith('-bytes')) return `${value / 1024 ** 3} GiB`;
  return name.endsWith('-ttl') ? duration(value) : value.toLocaleString('en');
}

function duration(ms: number): string {
  if (ms < 60_000) return `${ms / 1_000} s`;
  return ms < 86_400_000 ? `${ms / 60_000} min` : `${ms / 86_400_000} days`;
}

function section(message: Message, schemas: Schemas): Html {
  const { name, title, summary, description = '', headers, payload, examples = [] } = message;
  const schema = '$ref' in payload ? schemas[nameOf({ $ref: `${payload.$ref}` })] : payload;
  const own = headers && !EVENT_HEADERS.includes(nameOf(headers)) ? schemas[nameOf(headers)] : undefined;
  return html`<section id="${name}">
<h3>${title}</h3>
<p>${summary}</p>
<p class="muted">${marked(description)}</p>
${own ? fieldTable(own, schemas, 'header') : ''}
${schema?.properties ? fieldTable(schema, schemas) : html`<p>Body: ${schema?.description ?? ''}</p>`}
${examples.map(
  (example) => html`<details><summary>Example: ${example.name}</summary><pre>${json(example.payload)}</pre>
${example.headers ? html`<p>Headers</p><pre>${json(example.headers)}</pre>` : ''}</details>\n`,
)}</section>
`;
}

const nameOf = ({ $ref }: { readonly $ref: string }): string => $ref.slice($ref.lastIndexOf('/') + 1);
const code = (text: string): Html => (text === '' ? html`` : html`<code>${text}</code>`);
const json = (value: object): string => JSON.stringify(value, null, 2);

function table(heads: readonly string[], rows: readonly (readonly Cell[])[]): Html {
  const cell = (value: Cell, index: number) => html`<td data-of="${heads[index] ?? ''}">${value}</td>`;
  return html`<table><thead><tr>${heads.map((head) => html`<th>${head}</th>`)}</tr></thead>
${rows.map((row) => html`<tr>${row.map(cell)}</tr>\n`)}</table>`;
}

const fieldTable = (schema: Schema | undefined, schemas: Schemas, what = 'field'): Html =>
  table([what, 'type', 'meaning'], schema ? fieldsOf(schema, schemas) : []);

/** A row for each field, those of objects in objects with their path. */
function fieldsOf(schema: Schema, schemas: Schemas, path = ''): (readonly Cell[])[] {
  const { properties = {}, required = [] } = schema;
  return Object.entries(properties).flatMap(([name, field]) => {
    const target = resolved(field, schemas);
    const inner = [target, ...(target.anyOf ?? []), ...(target.items ? [target.items] : [])];
    const below = `${path}${name}${target.items ? '[]' : ''}.`;
    const named = html`${code(path + name)}${required.includes(name) ? '' : ' ?'}`;
    return [
      [named, code(typeOf(field, schemas)), marked(field.description)],
      ...inner.flatMap((each) => fieldsOf(resolved(each, schemas), schemas, below)),
    ];
  });
}

/** Supports of Markdown what the document uses: addresses, and code in backticks. */
function marked(text = ''): Html {
  const parts = text.split(/(https:\/\/[^\s)]+|`[^`]+`)/).map((part, index) => {
    if (index % 2 === 0) return html`${part}`;
    return part.startsWith('`') ? code(part.slice(1, -1)) : html`<a href="${part}">${part}</a>`;
  });
  return html`${parts}`;
}

/** draft 7 has a reference with a description beside it in `allOf`. */
const referenceOf = ({ $ref, allOf: [only] = [] }: Schema): string | undefined => $ref ?? only?.$ref;

function resolved(schema: Schema, schemas: Schemas): Schema {
  const $ref = referenceOf(schema);
  return ($ref === undefined ? undefined : schemas[nameOf({ $ref })]) ?? schema;
}

function typeOf(schema: Schema, schemas: Schemas): string {
  const target = resolved(schema, schemas);
  if (target !== schema && target.properties === undefined) return nameOf({ $ref: referenceOf(schema) ?? '' });
  if (target.const !== undefined) return JSON.stringify(target.const);
  if (target.enum !== undefined) return target.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (target.anyOf !== undefined) return [...new Set(target.anyOf.map((each) => typeOf(each, schemas)))].join(' | ');
  if (target.items !== undefined) return `${typeOf(target.items, schemas)}[]`;
  return [target.type ?? 'any'].flat().join(' | ');
}
