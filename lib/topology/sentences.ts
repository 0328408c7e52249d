// What a person does about what is no longer wanted: the command that shows what it holds, and removes it with --yes.
// Pure words; the command is bin/topology.ts.

import type { Plan, Unwanted } from './plan.ts';

/** What is no longer wanted and stays, one sentence each. @param url of the management API, without a login */
export function keptSentences(
  { unwanted, kept }: Pick<Plan, 'unwanted' | 'kept'>,
  where: { readonly vhost: string; readonly url: string },
): string[] {
  return [
    ...unwanted.map((some) => `${some.type} ${some.name} is no longer wanted, and stays: ${command(some, where)}`),
    ...kept,
  ];
}

function command({ type, name }: Unwanted, { vhost, url }: { readonly vhost: string; readonly url: string }): string {
  const { origin } = new URL(url);
  return `npm run topology -- remove ${type} ${quoted(name)} --vhost ${quoted(vhost)} --url ${origin}`;
}

/** For a shell. */
function quoted(text: string): string {
  return /^[\w.:/@%+-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A user for whom no password was given. */
export function withoutPasswordSentence({ user, exists }: Plan['withoutPassword'][number]): string {
  return exists
    ? `user ${user} keeps its password: none was given`
    : `user ${user} is skipped: it does not exist yet, and no password was given`;
}
