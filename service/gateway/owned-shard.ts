// biome-ignore-all lint/complexity/useLiteralKeys: only an element access reaches a private member
// `WebSocketShard` of `@discordjs/ws` 2.0.4 with every promise owned. The package awaits none of `internalConnect`,
// `onMessage`, `onClose` and `heartbeat`, so that one odd answer would end the process; here an error in them is a value.
// It passes every message of the socket and every end of it on, unread, and never reconnects by itself.
// owned-shard.test.ts fails when a newer package changes what is relied on.

import {
  type IContextFetchingStrategy,
  WebSocketShard,
  type WebSocketShardDestroyOptions,
  WebSocketShardEvents,
} from '@discordjs/ws';
import type { Frame } from './frame.ts';
import { MOST_FRAME_BYTES } from './frame-decoder.ts';

/** The part of `ws` that bounds a message. The package cannot pass `maxPayload` on, and 100 MiB is its default. */
interface Bounded {
  _maxPayload: number;
}
interface Receiver extends Bounded {
  readonly _extensions: Readonly<Record<string, Bounded>>;
}

export abstract class OwnedShard extends WebSocketShard {
  readonly #handle: (frame: Frame) => Promise<void>;

  constructor(strategy: IContextFetchingStrategy, shardId: number) {
    super(strategy, shardId);
    const handle = this['onMessage'].bind(this);
    const connect = this['internalConnect'].bind(this);
    const waitFor = this['waitForEvent'].bind(this);
    const beat = this['heartbeat'].bind(this);

    this['unpackMessage'] = async (frame: unknown) => frame as never;
    this.#handle = (frame) => this.#own(handle(frame as never, false));
    this['internalConnect'] = () => this.#own(connect());
    this['waitForEvent'] = (event: WebSocketShardEvents, ms?: number | null) => {
      // It waits for HELLO as soon as there is a socket.
      if (event === WebSocketShardEvents.Hello) this.#bound();
      return waitFor(event, ms);
    };
    this['heartbeat'] = (requested = false) => {
      const acknowledged = this['isAck'];
      if (!requested && !acknowledged) this.#guard(() => this.zombie());
      return this.#own(
        beat(requested).then(() => {
          // A beat that Discord asked for, just before a regular one, is not to be acknowledged within its interval.
          if (requested) this['isAck'] = acknowledged;
        }),
      );
    };
    this['onMessage'] = async (data: unknown) => this.#guard(() => this.received(data as string | ArrayBuffer));
    this['onError'] = (error: Error) => this.#guard(() => this.failed(error));
    this['onClose'] = async (code: number) => this.#guard(() => this.closed(code));
  }

  /** A message of the socket. */
  protected abstract received(data: string | ArrayBuffer): void;
  /** The socket, or its handshake. */
  protected abstract failed(error: Error): void;
  /** The other side closed. */
  protected abstract closed(code: number): void;
  /** No heartbeat was acknowledged since the last regular one, whose interval is over. */
  protected abstract zombie(): void;
  /** An error that nothing here expects, in the package or above it. */
  protected abstract defect(error: unknown): void;

  /** Connects. Never rejects. */
  protected open(): void {
    void this['internalConnect']();
  }

  /** For the package: HELLO (it beats from then on), a heartbeat that is asked for, an acknowledgement. */
  protected handle(frame: Frame): void {
    void this.#handle(frame);
  }

  protected get socket() {
    return this['connection'];
  }

  /** Ends what the package waits for, the socket, and the heartbeats. Rejects when the close cannot be written. */
  protected async shut(options: WebSocketShardDestroyOptions & { readonly code: number }): Promise<void> {
    this.emit(WebSocketShardEvents.Closed, options.code);
    try {
      await super.destroy(options);
    } finally {
      // A HELLO just before it waits for its first heartbeat meanwhile.
      this['initialHeartbeatTimeoutController']?.abort();
      this.emit(WebSocketShardEvents.Closed, options.code);
    }
  }

  #bound(): void {
    const { socket } = this;
    socket?.once('open', () => {
      const { _receiver } = socket as unknown as { readonly _receiver: Receiver };
      for (const each of [_receiver, ...Object.values(_receiver._extensions)]) each._maxPayload = MOST_FRAME_BYTES;
    });
  }

  #own(promise: Promise<void>): Promise<void> {
    return promise.catch((error: unknown) => this.#guard(() => this.defect(error)));
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.defect(error);
    }
  }
}
