// The log of the functions: one JSON object a line. No password is in it, because none is in an error.
import { inspect } from 'node:util';
import { errorMessage } from '../../service/errors.ts';

export function log(level: 'info' | 'warn' | 'error', message: string, fields: object = {}): void {
  console.log(JSON.stringify({ level, message, ...fields }));
}

/** Logs what fails with its stack and causes, of which Lambda's own line has none. */
export async function logged<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    log('error', errorMessage(error), { err: inspect(error) });
    throw error;
  }
}
