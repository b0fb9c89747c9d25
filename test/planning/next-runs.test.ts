import { Client, Connection } from '@temporalio/client';
import fc from 'fast-check';
import { readCron } from '../../compiler/cron.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { nextRuns } from '../../planning/next-runs.ts';

/** What `apply` says of a schedule is what Temporal's own scheduler does. */
let temporal: TemporalServer;
let connection: Connection;
let client: Client;
let schedules = 0;

beforeAll(async () => {
  temporal = await startTemporal({ headless: true });
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
});
afterAll(async () => {
  await connection.close();
  await temporal.stop();
});

async function asked(cron: readonly string[], timezone: string, startAt: Date): Promise<readonly string[]> {
  const handle = await client.schedule.create({
    scheduleId: `s${++schedules}`,
    spec: { cronExpressions: [...cron], timezone, startAt },
    action: { type: 'startWorkflow', workflowType: 'nothing', taskQueue: 'nobody' },
  });
  const { info } = await handle.describe();
  await handle.delete();
  return info.nextActionTimes.slice(0, 5).map((time) => time.toISOString());
}

const years = new Date().getUTCFullYear();

test.each<[string, readonly string[], string, string]>([
  ['every night', ['0 2 * * *'], 'UTC', `${years + 1}-02-27T00:00:00Z`],
  ['both days must match', ['0 0 13 * 5'], 'UTC', `${years + 1}-01-01T00:00:00Z`],
  ['the first Monday', ['0 6 1-7 * mon'], 'Asia/Kolkata', `${years + 1}-01-01T00:00:00Z`],
  ['Sunday as 7', ['15 4 * * 7'], 'America/St_Johns', `${years + 1}-06-01T00:00:00Z`],
  ['leap days', ['0 0 29 2 *'], 'UTC', `${years + 1}-01-01T00:00:00Z`],
  [
    'steps, lists and ranges',
    ['*/25 8-10,22 * jan-mar 1-5'],
    'Europe/Berlin',
    `${years + 1}-01-02T00:00:00Z`,
  ],
  ['a step from a value', ['5/20 3/9 * * *'], 'UTC', `${years + 1}-01-02T00:00:00Z`],
  ['names in any case', ['5/20 0 * Jan,DEC SUN,wed'], 'UTC', `${years + 1}-01-02T00:00:00Z`],
  ['several lines', ['0 2 * * *', '0 14 * * 1-5', '0 2 * * 1'], 'UTC', `${years + 1}-01-02T00:00:00Z`],
  [
    'weekdays by a step',
    ['0 1 * * 1/2', '0 2 * * 7/2', '0 3 * * */3'],
    'UTC',
    `${years + 1}-01-02T00:00:00Z`,
  ],
  ['shorthands', ['@weekly', '@monthly'], 'Australia/Lord_Howe', `${years + 1}-01-02T00:00:00Z`],
  ['a local time that is left out', ['30 2 * * *'], 'Europe/Berlin', '2027-03-26T12:00:00Z'],
  ['a local time that comes twice', ['30 1 * * *'], 'America/New_York', '2027-11-05T12:00:00Z'],
])('%s', async (_what, cron, timezone, from) => {
  const start = new Date(from);
  const own = nextRuns({ cron, timezone }, start, 5).map((time) => time.toISOString());
  expect(own).toEqual(await asked(cron, timezone, start));
});

/** A field of a cron line, of every form; many are refused by the compiler. */
const fieldOf = (least: number, most: number, names: readonly string[] = []) => {
  const number = fc.integer({ min: least, max: most });
  const value = fc.oneof(number.map(String), ...(names.length === 0 ? [] : [fc.constantFrom(...names)]));
  const range = fc.tuple(value, value).map(([from, to]) => `${from}-${to}`);
  const span = fc.oneof(fc.constant('*'), value, range);
  const stepped = fc.tuple(span, fc.integer({ min: 1, max: most })).map(([of, step]) => `${of}/${step}`);
  const item = fc.oneof({ weight: 4, arbitrary: fc.constant('*') }, value, range, stepped);
  return fc.array(item, { minLength: 1, maxLength: 3 }).map((items) => items.join(','));
};
const anyLine = fc
  .tuple(
    fieldOf(0, 59),
    fieldOf(0, 23),
    fieldOf(1, 31),
    fieldOf(1, 12, ['jan', 'Feb', 'DEC']),
    fieldOf(0, 7, ['sun', 'Mon', 'SAT']),
  )
  .map((fields) => fields.join(' '));

test('whatever cron line the compiler takes, Temporal takes, and starts at the times that are shown', async () => {
  const start = new Date(`${years + 1}-01-30T12:34:56Z`);
  let refused = 0;
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(
      anyLine,
      fc.constantFrom('UTC', 'Europe/Berlin', 'America/Santiago'),
      async (line, timezone) => {
        const reading = readCron(line);
        if ('problem' in reading) {
          refused += 1;
          return;
        }
        const own = nextRuns({ cron: [reading.value], timezone }, start, 5).map((time) => time.toISOString());
        expect(own).toEqual(await asked([reading.value], timezone, start));
        expect(own).toHaveLength(5);
        compared += 1;
      },
    ),
    { numRuns: 150 },
  );
  process.stdout.write(
    `cron: ${compared} lines compared with Temporal, ${refused} refused by the compiler\n`,
  );
  expect(compared).toBeGreaterThan(20);
});

test('a cron line that never comes has no runs', () => {
  expect(nextRuns({ cron: ['0 0 31 2 1'], timezone: 'UTC' }, new Date(), 5)).toEqual([]);
});
