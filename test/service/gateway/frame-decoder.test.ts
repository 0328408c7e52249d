// From the messages of a socket to the text of frames: split, joined, corrupt, too large.

import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { constants, createDeflate } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FrameDecoder, MOST_FRAME_BYTES } from '../../../service/gateway/frame-decoder.ts';
import { eventually } from '../../support/log-lines.ts';

function decoder(compressed: boolean) {
  const texts: string[] = [];
  const failures: string[] = [];
  const frames = new FrameDecoder(compressed, {
    text: (text) => texts.push(text),
    failed: (reason) => failures.push(reason),
  });
  const write = (data: string | Buffer) => frames.write(typeof data === 'string' ? data : bytesOf(data));
  return { frames, texts, failures, write };
}

const bytesOf = (data: Buffer): ArrayBuffer => Uint8Array.from(data).buffer;

/** What Discord sends for these frames, one message each. */
async function stream(frames: readonly (string | Buffer)[]): Promise<Buffer[]> {
  const deflate = createDeflate();
  const messages: Buffer[] = [];
  let chunks: Buffer[] = [];
  deflate.on('data', (chunk: Buffer) => chunks.push(chunk));
  for (const frame of frames) {
    await new Promise<void>((resolve) => {
      deflate.write(frame);
      deflate.flush(constants.Z_SYNC_FLUSH, () => resolve());
    });
    messages.push(Buffer.concat(chunks));
    chunks = [];
  }
  deflate.destroy();
  return messages;
}

const FRAMES = ['{"op":10}', `"${'ä€😀'.repeat(40_000)}"`, '\uFEFF{"op":11}', ' ', `{"x":"${'y'.repeat(300_000)}"}`];

describe('a zlib stream', () => {
  it('gives each frame in order, as long as it is', async () => {
    const { texts, write, failures } = decoder(true);
    for (const message of await stream(FRAMES)) write(message);
    await eventually('all frames', () => texts.length === FRAMES.length);
    expect([texts, failures]).toEqual([FRAMES, []]);
  });

  it.each([1, 5])('gives them from messages of %d bytes too', async (size) => {
    const { texts, write } = decoder(true);
    const all = Buffer.concat(await stream(FRAMES.slice(0, 1)));
    for (let from = 0; from < all.length; from += size) write(all.subarray(from, from + size));
    await eventually('the frame', () => texts.length > 0);
    expect(texts).toEqual(FRAMES.slice(0, 1));
  });

  it('that is corrupt fails once, and gives nothing more', async () => {
    const { texts, failures, write } = decoder(true);
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await stream(['1', '2']);
    write(first);
    write(Buffer.from([9, 9, 9, 9, 0, 0, 0xff, 0xff]));
    write(second);
    await eventually('a failure', () => failures.length > 0);
    await sleep(50);
    expect([texts, failures.length]).toEqual([['1'], 1]);
    expect(failures[0]).toMatch(/^expected a zlib stream: /);
  });

  it('with bytes that are no UTF-8 fails', async () => {
    const { failures, write, texts } = decoder(true);
    for (const message of await stream([Buffer.from([0x22, 0xff, 0xfe, 0x22])])) write(message);
    await eventually('a failure', () => failures.length === 1);
    expect([failures, texts]).toEqual([['expected UTF-8'], []]);
  });

  it('may make 16 MiB of a frame, and not a byte more', async () => {
    const most = decoder(true);
    for (const message of await stream([Buffer.alloc(MOST_FRAME_BYTES, 'x')])) most.write(message);
    await eventually('the frame', () => most.texts.length === 1);
    const more = decoder(true);
    for (const message of await stream([Buffer.alloc(MOST_FRAME_BYTES + 1, 'x')])) more.write(message);
    await eventually('a failure', () => more.failures.length === 1);
    expect([more.failures, more.texts]).toEqual([['expected a frame of at most 16 MiB'], []]);
  });

  it('may not come faster than it is inflated by more than 16 MiB', async () => {
    const { failures, write } = decoder(true);
    const messages = await stream(Array.from({ length: 17 }, () => randomBytes(1024 * 1024)));
    for (const message of messages) write(message);
    expect(failures).toEqual(['expected a frame of at most 16 MiB']);
    const most = decoder(true);
    most.write(Buffer.alloc(MOST_FRAME_BYTES));
    expect(most.failures).toEqual([]);
    most.frames.close();
  });

  it('has the same bound where no flush comes', async () => {
    const { failures, write } = decoder(true);
    const [message = Buffer.alloc(0)] = await stream([Buffer.alloc(MOST_FRAME_BYTES + 1)]);
    write(message.subarray(0, -4));
    await eventually('a failure', () => failures.length === 1);
  });

  it('is not overtaken by text', async () => {
    const { frames, texts, failures, write } = decoder(true);
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = await stream(['1', '2']);
    write('before');
    write(first);
    await frames.written();
    write('decoded');
    write(second);
    write('between');
    expect([texts, failures]).toEqual([
      ['before', '1', 'decoded'],
      ['expected no text between parts of the zlib stream'],
    ]);
  });
});

describe('text', () => {
  it('is a frame as it is, with its BOM', () => {
    const { texts, write } = decoder(false);
    for (const text of ['', '\uFEFF{}', 'x']) write(text);
    expect(texts).toEqual(['', '\uFEFF{}', 'x']);
  });

  it('has the same bound', () => {
    const { texts, failures, write } = decoder(false);
    write('x'.repeat(MOST_FRAME_BYTES));
    write('x'.repeat(MOST_FRAME_BYTES + 1));
    expect([texts.length, failures.length]).toEqual([1, 1]);
  });

  it('is all that comes without compression', () => {
    const { failures, write } = decoder(false);
    write(Buffer.from('{"op":10}'));
    write('{}');
    expect(failures).toEqual(['expected text, got 9 bytes']);
  });

  it('is not taken after the end', () => {
    const { frames, texts, failures, write } = decoder(true);
    frames.close();
    frames.close();
    write('x');
    expect([texts, failures]).toEqual([[], []]);
  });
});
