// The text of each frame: as it came, or inflated from the connection's one zlib stream, in which each frame ends with a
// sync flush. In order, and with a bound, because a frame may inflate to a thousand times its size.
// https://docs.discord.com/developers/events/gateway#transport-compression

import { Buffer } from 'node:buffer';
import { constants, createInflate, type Inflate } from 'node:zlib';
import { errorMessage } from '../errors.ts';

/** The largest documented dispatch, GUILD_CREATE, has a few MB. The default of `tungstenite` for a frame. */
export const MOST_FRAME_BYTES = 16 * 1024 * 1024;

interface DecodedFrames {
  text(text: string): void;
  /** Called once, and nothing after it. @param reason a sentence that quotes nothing of the frame */
  failed(reason: string): void;
}

const FLUSHED = Buffer.from([0, 0, 0xff, 0xff]);

export class FrameDecoder {
  readonly #frames: DecodedFrames;
  readonly #inflate: Inflate | undefined;
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Compressed and not yet inflated. */
  #waiting = 0;
  #tail: Buffer = Buffer.alloc(0);
  #closed = false;

  /** @param compressed the connection has a zlib stream */
  constructor(compressed: boolean, frames: DecodedFrames) {
    this.#frames = frames;
    if (!compressed) return;
    this.#inflate = createInflate({ flush: constants.Z_SYNC_FLUSH });
    this.#inflate.on('data', (chunk: Buffer) => this.#inflated(chunk));
    this.#inflate.on('error', (error) => this.#fail(`expected a zlib stream: ${errorMessage(error)}`));
  }

  /** @param data a message of the socket: text, or a part of the zlib stream */
  write(data: string | ArrayBuffer): void {
    if (this.#closed) return;
    if (typeof data === 'string') {
      if (data.length > MOST_FRAME_BYTES) this.#fail(tooLarge());
      // It would overtake the frame that is not inflated yet.
      else if (this.#waiting > 0) this.#fail('expected no text between parts of the zlib stream');
      else this.#frames.text(data);
    } else if (this.#inflate === undefined) this.#fail(`expected text, got ${data.byteLength} bytes`);
    else this.#write(this.#inflate, Buffer.from(data));
  }

  /** Resolves when all that was written is decoded, or has failed. */
  async written(): Promise<void> {
    const inflate = this.#inflate;
    if (this.#waiting > 0) await new Promise<void>((resolve) => void inflate?.write('', () => resolve()));
  }

  /** Nothing is decoded after it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#inflate?.destroy();
    this.#chunks = [];
  }

  #write(inflate: Inflate, part: Buffer): void {
    this.#waiting += part.length;
    if (this.#waiting > MOST_FRAME_BYTES) return void this.#fail(tooLarge());
    this.#tail = Buffer.concat([this.#tail, part]).subarray(-FLUSHED.length);
    const complete = this.#tail.equals(FLUSHED);
    inflate.write(part, () => {
      this.#waiting -= part.length;
      if (complete && !this.#closed) this.#complete();
    });
  }

  #inflated(chunk: Buffer): void {
    if (this.#closed) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > MOST_FRAME_BYTES) this.#fail(tooLarge());
  }

  #complete(): void {
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#bytes = 0;
    let text: string;
    try {
      text = this.#utf8.decode(bytes);
    } catch {
      return void this.#fail('expected UTF-8');
    }
    this.#frames.text(text);
  }

  #fail(reason: string): void {
    if (this.#closed) return;
    this.close();
    this.#frames.failed(reason);
  }
}

const tooLarge = (): string => `expected a frame of at most ${MOST_FRAME_BYTES / 1024 / 1024} MiB`;
