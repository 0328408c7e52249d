// A throw-away certificate authority and a server certificate of it for 127.0.0.1 and localhost, made by openssl.
// Its key is never used again: a test that trusts `ca.pem` trusts nothing but this node.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

// Our own file: the system's may be absent, or add extensions.
const OPENSSL_CONFIG = `[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
`;

/** Writes ca.pem, server.pem and server.key into the folder; resolves with the path of ca.pem. */
export async function makeCertificates(folder: string): Promise<string> {
  const config = join(folder, 'openssl.cnf');
  writeFileSync(config, OPENSSL_CONFIG);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const openssl = async (...args: string[]) => {
    await run('openssl', args, { cwd: folder, timeout: 30_000 }).catch((error) => {
      const reason =
        error.code === 'ENOENT' ? 'it is not installed: install openssl' : String(error.stderr || error.message);
      throw new Error(`The TLS listener needs certificates made by openssl, but ${reason.trim()}.`, { cause: error });
    });
  };
  const ca = ['-subj', '/CN=Throw-away CA', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '30', '-extensions', 'ca'];
  await openssl('req', '-config', config, '-x509', ...key, ...ca);
  await openssl(
    'req',
    '-config',
    config,
    '-new',
    ...key,
    '-subj',
    '/CN=localhost',
    '-keyout',
    'server.key',
    '-out',
    'server.csr',
  );
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-set_serial', '1', '-days', '30'];
  await openssl(
    'x509',
    '-req',
    '-in',
    'server.csr',
    ...signed,
    '-extfile',
    config,
    '-extensions',
    'server',
    '-out',
    'server.pem',
  );
  return join(folder, 'ca.pem');
}
