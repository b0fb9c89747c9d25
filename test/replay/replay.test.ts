import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { workflowBundle } from '../../worker/bundle.ts';

/** Runs that were begun with an earlier version go on with this one: recorded histories replay without a difference. */
const histories = new URL('./histories/', import.meta.url);
const files = readdirSync(histories, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.json'))
  .sort();

beforeAll(() => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
});

test('histories of this version, or an earlier one, are there', () => {
  expect(files.length).toBeGreaterThan(5);
});

test.each(files)('%s replays', async (file) => {
  const history: unknown = JSON.parse(readFileSync(fileURLToPath(new URL(file, histories)), 'utf8'));
  await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, history);
});

test('a history with its events in another order is refused, so that the test can fail', async () => {
  const [file = ''] = files.filter((name) => /backup-of-two-shards\.json$/.test(name));
  const text = readFileSync(fileURLToPath(new URL(file, histories)), 'utf8').replaceAll(
    '"export"',
    '"flush"',
  );
  await expect(
    Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, JSON.parse(text)),
  ).rejects.toThrow(/[Nn]ondeterminism/);
});
