// A channel that answers at once: a test delivers on it, and sees what is asked of it.

import { EventEmitter } from 'node:events';
import { vi } from 'vitest';

export class FakeChannel extends EventEmitter {
  deliver: (message: object | null) => void = () => undefined;
  readonly ack = vi.fn();
  readonly nack = vi.fn();
  readonly assertQueue = vi.fn(async () => undefined);
  readonly bindQueue = vi.fn(async () => undefined);
  readonly prefetch = vi.fn(async () => undefined);
  readonly publish = vi.fn();
  readonly close = vi.fn(async () => void this.emit('close'));
  readonly waitForConfirms = vi.fn(async () => undefined);
  readonly consume = vi.fn(async (_queue: string, deliver: FakeChannel['deliver']) => {
    this.deliver = deliver;
  });

  get closed(): boolean {
    return this.close.mock.calls.length > 0;
  }
}
