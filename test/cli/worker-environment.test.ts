import { chooseQueue, fingerprintOf, variablesOf } from '../../cli/worker-environment.ts';

const KEY = Buffer.from('a key of this installation');
const SHELL = {
  ORDERS_URL: 'postgresql://one',
  LEDGER_URL: 'postgresql://two',
  AWS_PROFILE: 'backup',
  HOME: '/home/me',
  TERM: 'xterm',
};

function choose(environment: NodeJS.ProcessEnv, variables: readonly string[], applied?: string) {
  const workers = { 'holdfast-a': fingerprintOf(SHELL, KEY) };
  return chooseQueue({
    environment,
    variables,
    workers,
    key: KEY,
    ...(applied === undefined ? {} : { applied }),
  });
}

describe('the worker of a command', () => {
  it('is one that runs, whatever differs in variables that no plan names', () => {
    expect(choose(SHELL, ['ORDERS_URL'])).toBe('holdfast-a');
    for (const other of [
      { NO_COLOR: '1' },
      { TMUX: '/tmp/t,1,0' },
      { TERM: 'dumb' },
      { FOO: 'bar' },
      { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' },
      { HOME: '/' },
    ]) {
      expect(choose({ ...SHELL, ...other }, ['ORDERS_URL'])).toBe('holdfast-a');
    }
    // Another plan's variable is of no concern either.
    expect(choose({ ...SHELL, LEDGER_URL: 'postgresql://three' }, ['ORDERS_URL'])).toBe('holdfast-a');
  });

  it('is another one where a variable counts: one that the plan names, or of AWS, PG, TEMPORAL or HOLDFAST', () => {
    const others = [
      { ORDERS_URL: 'postgresql://other' },
      { AWS_PROFILE: 'other' },
      { AWS_REGION: 'eu-west-1' },
      { AWS_PROFILE: undefined },
      { PGSSLMODE: 'require' },
      { TEMPORAL_NAMESPACE: 'other' },
      { HOLDFAST_YB_BIN: '/opt/yb/bin' },
    ].map((other) => choose({ ...SHELL, ...other }, ['ORDERS_URL']));
    for (const queue of others) expect(queue).toMatch(/^holdfast-[0-9a-f]{12}$/);
    expect(new Set(others).size).toBe(others.length);
    // The same the next time, so that it is found again after everything was stopped.
    expect(choose({ ...SHELL, AWS_PROFILE: 'other' }, ['ORDERS_URL'])).toBe(others[1]);
  });

  it('has a name from which nobody without the installation’s key can look up what its secrets are', () => {
    const environment = { ...SHELL, ORDERS_URL: 'postgresql://backup:guessable@db/orders' };
    const under = (key: string) =>
      chooseQueue({ environment, variables: ['ORDERS_URL'], workers: {}, key: Buffer.from(key) });
    expect(under('one')).toBe(under('one'));
    expect(under('one')).not.toBe(under('two'));
  });

  it('is that of the applied plan, also from a terminal without its variables', () => {
    expect(choose({ HOME: '/home/me' }, ['ORDERS_URL'], 'holdfast-a')).toBe('holdfast-a');
    // Its worker does not run: it is started for that queue, from here.
    expect(choose({ HOME: '/home/me' }, ['ORDERS_URL'], 'holdfast-gone')).toBe('holdfast-gone');
    // Whoever sets a variable to another value means that value.
    expect(choose({ ORDERS_URL: 'postgresql://other' }, ['ORDERS_URL'], 'holdfast-a')).not.toBe('holdfast-a');
  });

  it('is remembered without any value of a variable', () => {
    const told = JSON.stringify(fingerprintOf(SHELL, KEY));
    for (const value of Object.values(SHELL)) expect(told).not.toContain(value);
    expect(fingerprintOf(SHELL, Buffer.from('another key'))).not.toEqual(fingerprintOf(SHELL, KEY));
  });
});

test('the variables of a plan are all that it names, wherever', () => {
  expect(
    variablesOf({
      source: { connection: { env: 'ORDERS_URL' } },
      notify: [{ webhook: { url: { env: 'HOOK' } } }, { file: '/run/secrets/x' }],
      repository: { location: { credentials: { accessKeyId: { env: 'KEY' } } } },
      env: 'not a reference',
    }),
  ).toEqual(['HOOK', 'KEY', 'ORDERS_URL']);
});
