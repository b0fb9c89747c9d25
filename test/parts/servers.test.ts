import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Connection, Client as TemporalClient } from '@temporalio/client';
import { Client } from 'pg';
import { startPostgres } from '../../parts/postgres.ts';
import { type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { startTemporal } from '../../parts/temporal.ts';
import { startToxiproxy } from '../../parts/toxiproxy.ts';
import { eventually, isRunning } from '../support/processes.ts';

type Server = {
  readonly pid: number | undefined;
  readonly scratchFolder: string;
  stop(): Promise<void>;
  kill9(): Promise<void>;
  restart(): Promise<void>;
  remember(): Promise<void>;
  recall(): Promise<string>;
};

async function postgres(): Promise<Server> {
  const server = await startPostgres();
  const run = async (sql: string) => {
    const client = new Client({ connectionString: server.url() });
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  };
  return Object.assign(Object.create(server), {
    scratchFolder: path.dirname(server.logFile),
    remember: () => run(`CREATE TABLE note AS SELECT 'kept' AS text`),
    recall: async () => (await run('SELECT text FROM note'))[0].text,
  });
}

async function temporal(): Promise<Server> {
  const server = await startTemporal({ headless: true });
  const withClient = async <T>(action: (client: TemporalClient) => Promise<T>) => {
    const connection = await Connection.connect({ address: server.address });
    try {
      return await action(new TemporalClient({ connection }));
    } finally {
      await connection.close();
    }
  };
  return Object.assign(Object.create(server), {
    scratchFolder: path.dirname(server.logFile),
    remember: () =>
      withClient((client) =>
        client.workflow.start('note', {
          workflowId: 'note',
          taskQueue: 'without-worker',
          memo: { text: 'kept' },
        }),
      ),
    recall: () =>
      withClient(async (client) => (await client.workflow.getHandle('note').describe()).memo?.text),
  });
}

function s3Client(gateway: S3Gateway, endpoint = gateway.endpoint): S3Client {
  const { region, accessKeyId, secretAccessKey } = gateway;
  return new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  });
}

async function s3(): Promise<Server> {
  const gateway = await startS3Gateway();
  const address = { Bucket: 'notes', Key: 'a/note' };
  return Object.assign(Object.create(gateway), {
    scratchFolder: path.dirname(gateway.directory),
    async remember() {
      await gateway.createBucket('notes');
      await s3Client(gateway).send(new PutObjectCommand({ ...address, Body: 'kept' }));
    },
    async recall() {
      const { Body } = await s3Client(gateway).send(new GetObjectCommand(address));
      return Body?.transformToString();
    },
  });
}

describe.each([
  ['PostgreSQL', postgres],
  ['Temporal', temporal],
  ['the S3 gateway', s3],
])('%s', (_name, start) => {
  it('keeps its state over a restart and a kill -9, and leaves nothing behind when it is stopped', async () => {
    const server = await start();
    const pids = [server.pid];
    await server.remember();
    await server.restart();
    pids.push(server.pid);
    await server.kill9();
    expect(server.pid).toBeUndefined();
    await server.restart();
    pids.push(server.pid);
    expect(await server.recall()).toBe('kept');
    await server.stop();
    expect(new Set(pids).size).toBe(3);
    for (const pid of pids) expect(await isRunning(Number(pid))).toBe(false);
    await expect(access(server.scratchFolder)).rejects.toThrow('ENOENT');
  });
});

describe('PostgreSQL', () => {
  it('starts after a kill -9 though a child of the killed server takes its time to end', async () => {
    const server = await startPostgres();
    const client = new Client({ connectionString: server.url() });
    client.on('error', () => undefined); // the killed server cuts the connection, which is what the test is about
    try {
      await client.connect();
      const child = Number((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid);
      process.kill(child, 'SIGSTOP');
      await server.kill9();
      const restarted = server.restart();
      await eventually('the first start was refused', async () =>
        (await readFile(server.logFile, 'utf8')).includes('pre-existing shared memory block'),
      );
      process.kill(child, 'SIGKILL');
      await restarted;
      expect(server.pid).toBeDefined();
    } finally {
      await server.stop();
    }
  });

  it('runs unprivileged, asks for the password, and takes settings', async () => {
    const server = await startPostgres({ settings: { fsync: 'on', max_connections: '17' } });
    try {
      const client = new Client({ connectionString: server.url() });
      await client.connect();
      const { rows } = await client.query(
        `SELECT current_setting('fsync') AS fsync, current_setting('max_connections') AS connections`,
      );
      await client.end();
      expect(rows[0]).toEqual({ fsync: 'on', connections: '17' });
      const intruder = new Client({
        connectionString: server.url().replace(server.password, 'wrong-password'),
      });
      await expect(intruder.connect()).rejects.toThrow('password authentication failed');
    } finally {
      await server.stop();
    }
  });

  it('says what is wrong, with the end of the log, when it cannot start', async () => {
    await expect(startPostgres({ settings: { max_connections: 'many' } })).rejects.toThrow(
      /PostgreSQL ended while it started \(exit code 1\)[\s\S]*max_connections/,
    );
  });
});

describe('toxiproxy', () => {
  it('passes a connection on, delays it, cuts it, and mends it', async () => {
    const gateway = await startS3Gateway();
    const toxiproxy = await startToxiproxy();
    try {
      const proxy = await toxiproxy.createProxy('s3', `${gateway.host}:${gateway.port}`);
      const url = `http://${proxy.host}:${proxy.port}/`;
      const elapsedMs = async () => {
        const startedAt = performance.now();
        await fetch(url).then((response) => response.text());
        return performance.now() - startedAt;
      };
      await elapsedMs();
      const latency = await proxy.addToxic({ type: 'latency', latencyMs: 300 });
      expect(await elapsedMs()).toBeGreaterThanOrEqual(299);
      await proxy.removeToxic(latency);
      await proxy.down();
      await expect(elapsedMs()).rejects.toThrow();
      await proxy.up();
      await proxy.addToxic({ type: 'reset_peer', afterMs: 0 });
      await expect(elapsedMs()).rejects.toThrow();
      await toxiproxy.reset();
      await elapsedMs();
    } finally {
      await toxiproxy.stop();
      await gateway.stop();
    }
  });
});
