import { Connection } from '@temporalio/client';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';
import { holdfast } from '../support/holdfast.ts';
import {
  PERMISSION_DENIED,
  startTemporalGate,
  type TemporalGate,
  UNIMPLEMENTED,
} from '../support/temporal-gate.ts';

/** A real Temporal server, behind a gate that refuses what an identity with few permissions may not do. */
let temporal: TemporalServer;
let gate: TemporalGate;
let connection: Connection;

beforeAll(async () => {
  temporal = await startTemporal({ headless: true });
  gate = await startTemporalGate(temporal.address);
  connection = await Connection.connect({ address: gate.address });
});
afterAll(async () => {
  await connection?.close();
  await gate?.stop();
  await temporal?.stop();
});

const register = () => registerSearchAttributes(connection, 'default');

test.each([
  ['they can be listed', { AddSearchAttributes: PERMISSION_DENIED }],
  [
    'they can’t even be listed',
    { AddSearchAttributes: PERMISSION_DENIED, ListSearchAttributes: PERMISSION_DENIED },
  ],
  [
    'the server has no such service',
    { AddSearchAttributes: UNIMPLEMENTED, ListSearchAttributes: UNIMPLEMENTED },
  ],
])(
  'without the permission to register search attributes nothing begins, and the error has the command for who has it: %s',
  async (_what, methods) => {
    gate.refuse(methods);
    await expect(register()).rejects.toMatchObject({
      code: 'SEARCH_ATTRIBUTES',
      message: expect.stringMatching(
        /BackupPlan, BackupEngine, BackupPhase, BackupResult.*Request unauthorized/,
      ),
      remedy: expect.stringContaining(
        'temporal operator search-attribute create --namespace default --name BackupPlan --type Keyword',
      ),
    });
  },
);

test.each([
  ['a worker', ['worker', '--only', 'read-points']],
  ['apply', ['apply', 'plans/orders.yaml']],
  ['status', ['status']],
])('%s tells it as one error, and begins nothing', async (_what, args) => {
  gate.refuse({ AddSearchAttributes: PERMISSION_DENIED });
  const environment = { TEMPORAL_ADDRESS: gate.address };
  const [{ code, stdout }, told] = await Promise.all([
    holdfast([...args, '--json'], environment),
    holdfast(args, environment),
  ]);
  expect({ code, document: JSON.parse(stdout) }).toMatchObject({
    code: 1,
    document: {
      error: { code: 'SEARCH_ATTRIBUTES', remedy: expect.stringContaining('temporal operator') },
    },
  });
  expect(told.stderr).toMatch(
    /^error: the search attributes .*\n {2}→ Let somebody with the permission run: /,
  );
});

test('an identity that Temporal refuses altogether is told so, and not that no server answers', async () => {
  gate.refuse({ '*': PERMISSION_DENIED });
  await expect(register()).rejects.toMatchObject({ code: 'TEMPORAL_DENIED' });
  const { code, stdout } = await holdfast(['status', '--json'], { TEMPORAL_ADDRESS: gate.address });
  expect({ code, document: JSON.parse(stdout) }).toMatchObject({
    code: 1,
    document: { error: { code: 'TEMPORAL_DENIED', remedy: expect.stringContaining('TEMPORAL_API_KEY') } },
  });
});

test('once somebody has registered them, who may neither list nor register goes on', async () => {
  gate.refuse({});
  await register();
  gate.refuse({ AddSearchAttributes: PERMISSION_DENIED, ListSearchAttributes: PERMISSION_DENIED });
  await register();
  gate.refuse({ AddSearchAttributes: UNIMPLEMENTED, ListSearchAttributes: UNIMPLEMENTED });
  await register();
});
