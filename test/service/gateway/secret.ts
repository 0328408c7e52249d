// Where a bot token is read from, with a value and a version that the test changes.

import type { TokenSource } from '../../../service/gateway/bot-token.ts';

export class Secret implements TokenSource {
  readonly from = 'arn:of:the:token';
  /** Undefined: there is no value yet. */
  value: string | undefined;
  version = 1;
  readings = 0;
  #last: string | undefined;
  #lastVersion = 0;

  constructor(value?: string) {
    this.value = value;
  }

  async read(): Promise<string> {
    if (this.#last === undefined) await this.refresh();
    return this.#last ?? '';
  }

  async refresh(): Promise<boolean> {
    this.readings += 1;
    if (this.value === undefined) throw new Error(`${this.from}: it has no value yet. Put the value into it`);
    const changed = this.value !== this.#last || this.version !== this.#lastVersion;
    this.#last = this.value;
    this.#lastVersion = this.version;
    return changed;
  }
}
