// A throw-away certificate for 127.0.0.1 and localhost that is its own authority, made by openssl. Its key serves one
// server: a client that trusts `ca.pem` trusts nothing else.

import { copyFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run } from '../run.ts';

// Our own file: the system's may be absent, or add extensions. Each certificate has a name of its own: OpenSSL finds the
// trusted one by its name.
const configuration = (name: string) => `[req]
distinguished_name = name
x509_extensions = server
prompt = no
[name]
CN = ${name}
[server]
basicConstraints = critical, CA:TRUE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
`;

/** Writes server.pem, server.key and ca.pem into the folder. @returns the path of ca.pem */
export async function makeCertificates(folder: string): Promise<string> {
  writeFileSync(join(folder, 'openssl.cnf'), configuration(basename(folder)));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'server.key'];
  const request = ['req', '-x509', '-config', 'openssl.cnf', '-days', '30', ...key, '-out', 'server.pem'];
  await run('openssl', request, { cwd: folder, timeoutMs: 30_000 }).catch((error: Error) => {
    throw new Error(`The TLS listener needs a certificate, which openssl makes: install it. (${error.message})`, {
      cause: error,
    });
  });
  copyFileSync(join(folder, 'server.pem'), join(folder, 'ca.pem'));
  return join(folder, 'ca.pem');
}
