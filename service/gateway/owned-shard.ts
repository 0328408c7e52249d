// biome-ignore-all lint/complexity/useLiteralKeys: only an element access reaches a private member
// `WebSocketShard` of `@discordjs/ws` 2.0.4 without unhandled rejections. The package awaits none of `internalConnect`,
// `onMessage`, `onClose` and `heartbeat`, so that one odd answer would end the process; here `defect` gets their errors. It
// passes on every message and every end of the socket, unread, and never reconnects by itself.
// owned-shard.test.ts fails when a newer package changes what this relies on.

import {
  type IContextFetchingStrategy,
  WebSocketShard,
  type WebSocketShardDestroyOptions,
  WebSocketShardEvents,
} from '@discordjs/ws';
import type { Frame } from './frame.ts';
import { MOST_FRAME_BYTES } from './frame-decoder.ts';

/** The part of `ws` that bounds a message. The package cannot set `maxPayload`, whose default is 100 MiB. */
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
    const sendHeartbeat = this['heartbeat'].bind(this);

    this['unpackMessage'] = async (frame: unknown) => frame as never;
    this.#handle = (frame) => this.#catch(handle(frame as never, false));
    this['internalConnect'] = () => this.#catch(connect());
    this['waitForEvent'] = (event: WebSocketShardEvents, ms?: number | null) => {
      // It waits for HELLO as soon as there is a socket.
      if (event === WebSocketShardEvents.Hello) this.#bound();
      return waitFor(event, ms);
    };
    this['heartbeat'] = (requested = false) => {
      const acknowledged = this['isAck'];
      if (!requested && !acknowledged) this.#guard(() => this.zombie());
      return this.#catch(
        sendHeartbeat(requested).then(() => {
          // A heartbeat that Discord asked for just before a regular one need not be acknowledged within the interval.
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
  /** The socket is closed. */
  protected abstract closed(code: number): void;
  /** No heartbeat was acknowledged for an interval. */
  protected abstract zombie(): void;
  /** An error that nothing here expects, in the package or above it. */
  protected abstract defect(error: unknown): void;

  /** Connects. Never rejects. */
  protected open(): void {
    void this['internalConnect']();
  }

  /** Gives the package HELLO (it sends heartbeats from then on), a heartbeat that is asked for, an acknowledgement. */
  protected handle(frame: Frame): void {
    void this.#handle(frame);
  }

  protected get socket() {
    return this['connection'];
  }

  /** Ends the package's waiting, the socket, and the heartbeats. Rejects when the close cannot be written. */
  protected async shut(options: WebSocketShardDestroyOptions & { readonly code: number }): Promise<void> {
    this.emit(WebSocketShardEvents.Closed, options.code);
    try {
      await super.destroy(options);
    } finally {
      // After a HELLO just before, the package waits to send its first heartbeat.
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

  #catch(promise: Promise<void>): Promise<void> {
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
