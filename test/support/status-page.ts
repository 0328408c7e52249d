// The status page of a task, as a test reads it.

import type { IngestorProcess } from '../../local/ingestor-process.ts';
import type { Stage } from '../../local/stage.ts';
import { eventually } from './log-lines.ts';

export async function taskWithRole(stage: Stage, role: string): Promise<IngestorProcess> {
  const found = (await stage.reports()).find((report) => report.role === role);
  if (found === undefined) throw new Error(`no ${role}`);
  return found.task;
}

/** The page as HTML. */
export async function bodyOf(task: IngestorProcess): Promise<string> {
  return await (await fetch(task.url, { headers: { accept: 'text/html' } })).text();
}

/** Resolves with the page as text when all of this is on it. */
export async function shows(task: IngestorProcess, ...parts: (string | RegExp)[]): Promise<string> {
  let text = '';
  const isThere = (part: string | RegExp) => (typeof part === 'string' ? text.includes(part) : part.test(text));
  try {
    return await eventually(
      parts.join(', '),
      async () => {
        const html = await bodyOf(task);
        text = html.replaceAll(/<(style|script)>[\s\S]*?<\/\1>|<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ');
        return parts.every(isThere) && text;
      },
      60_000,
    );
  } catch (error) {
    throw new Error(`${parts.filter((part) => !isThere(part)).join(', ')} is not on the page:\n${text}`, {
      cause: error,
    });
  }
}

/** What the page calls a task. */
export const idOf = ({ output }: IngestorProcess) => /"task":"[^"]*-([0-9a-f]{6})"/.exec(output)?.[1] ?? '';
