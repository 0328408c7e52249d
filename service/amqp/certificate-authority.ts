// An authority of one's own for the broker's certificate. Its file is read before each connection: authorities are renewed
// while the service runs.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ENV } from '../contract/names.ts';
import { errorMessage } from '../errors.ts';
import { withinDeadline } from '../wait.ts';

const READ_DEADLINE_MS = 5_000;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** @returns PEM @throws Error with one sentence that begins with the setting */
export async function readCertificateAuthority(file: string, setting: string = ENV.rabbitmqCaFile): Promise<string> {
  try {
    const text = await withinDeadline(readFile(file, 'utf8'), READ_DEADLINE_MS, `${file} could not be read`);
    const certificates = text.match(CERTIFICATE) ?? [];
    if (certificates.length === 0) throw new Error(`no certificate in the ${text.length} characters of ${file}`);
    for (const certificate of certificates) new X509Certificate(certificate);
    return text;
  } catch (error) {
    throw new Error(`${setting}: expected a readable PEM file, got ${errorMessage(error)}`, {
      cause: error,
    });
  }
}
