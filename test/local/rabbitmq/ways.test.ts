// Which way to a RabbitMQ node is taken on which machine.

import { describe, expect, test } from 'vitest';
import { type Machine, type Way, waysToRabbitMq } from '../../../local/rabbitmq/ways.ts';

const BARE: Machine = {
  givenUrl: undefined,
  givenManagementUrl: undefined,
  wanted: undefined,
  unpackedSuites: [],
  aptSuites: [],
  ownSuite: undefined,
  installedServer: undefined,
  docker: false,
};
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const FORKY: Way = { kind: 'unpacked', suite: 'forky' };
const INSTALLED: Way = { kind: 'installed', server: SERVER };
const DOCKER: Way = { kind: 'docker' };

const TABLE: { machine: string; has: Partial<Machine>; ways: Way[] }[] = [
  { machine: 'has nothing', has: {}, ways: [] },
  {
    machine: 'is Debian 12 with nothing else: production’s version first, its own last',
    has: { ownSuite: 'bookworm', aptSuites: ['forky', 'bookworm'] },
    ways: [FORKY, { kind: 'unpacked', suite: 'bookworm' }],
  },
  {
    machine: 'has production’s version in the cache, and no network is needed',
    has: { unpackedSuites: ['forky'], docker: true },
    ways: [FORKY, DOCKER],
  },
  {
    machine: 'is Debian with an older server installed, which comes second',
    has: { ownSuite: 'bookworm', aptSuites: ['forky'], installedServer: SERVER },
    ways: [FORKY, INSTALLED],
  },
  {
    machine: 'is Ubuntu with Docker: its own package comes last',
    has: { ownSuite: 'noble', aptSuites: ['noble'], docker: true },
    ways: [DOCKER, { kind: 'unpacked', suite: 'noble' }],
  },
  {
    machine: 'has an installed server and Docker',
    has: { installedServer: SERVER, docker: true },
    ways: [INSTALLED, DOCKER],
  },
  { machine: 'has Docker alone', has: { docker: true }, ways: [DOCKER] },
  {
    machine: 'is Debian forky itself: its suite is named once',
    has: { ownSuite: 'forky', aptSuites: ['forky'] },
    ways: [FORKY],
  },
  {
    machine: 'was given a broker, which shuts out every other way',
    has: { givenUrl: 'amqp://a', givenManagementUrl: 'http://b', unpackedSuites: ['forky'], docker: true },
    ways: [{ kind: 'given', url: 'amqp://a', managementUrl: 'http://b' }],
  },
  {
    machine: 'was asked for a suite: its version, or none',
    has: { wanted: 'trixie', unpackedSuites: ['forky', 'trixie'], installedServer: SERVER, docker: true },
    ways: [{ kind: 'unpacked', suite: 'trixie' }],
  },
  {
    machine: 'was asked for Docker, although it has more',
    has: { wanted: 'docker', unpackedSuites: ['forky'], installedServer: SERVER, docker: true },
    ways: [DOCKER],
  },
  {
    machine: 'was asked for the installed server, although it has more',
    has: { wanted: 'installed', unpackedSuites: ['forky'], installedServer: SERVER, docker: true },
    ways: [INSTALLED],
  },
  {
    machine: 'was asked for a suite that apt does not offer',
    has: { wanted: 'trixie', unpackedSuites: ['forky'], installedServer: SERVER, docker: true },
    ways: [],
  },
];

describe('the ways to RabbitMQ, best first, on a machine that', () => {
  for (const { machine, has, ways } of TABLE) {
    test(machine, () => {
      expect(waysToRabbitMq({ ...BARE, ...has })).toEqual(ways);
    });
  }
});
