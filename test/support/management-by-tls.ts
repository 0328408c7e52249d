// The management API of the shared broker as the functions accept it: by TLS only, with a certificate that is trusted.

import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { sharedBroker } from './broker.ts';

/** Its address. From now on this process trusts the certificate, as Lambda trusts that of Amazon MQ. */
export function managementByTls(): string {
  const { managementTlsUrl, caFile } = sharedBroker();
  if (managementTlsUrl === undefined || caFile === undefined)
    throw new Error('expected a broker whose management API listens for TLS, such as the private one of the tests');
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(caFile, 'utf8')]);
  return managementTlsUrl;
}
