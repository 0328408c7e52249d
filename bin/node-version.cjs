// Ends an npm script in one sentence where Node is too old, before it fails at the first file: older versions do not read
// TypeScript. They do read this. `npm ci` brings the right version, except on a Mac.
'use strict';

const { engines } = require('../package.json');

const numbers = (version) => version.match(/\d+/g).map(Number);
const [major, minor] = numbers(process.versions.node);
const [leastMajor, leastMinor] = numbers(engines.node);
if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
  console.error(
    `expected Node ${leastMajor}.${leastMinor} or newer, got ${process.versions.node}. Run npm ci, which brings it on Linux and Windows; on a Mac install Node ${leastMajor}`,
  );
  process.exit(1);
}
