const { homedir } = require('node:os');
const path = require('node:path');

/*
 * Each Node process that a test starts (workers, simulators, stand-ins of programs: some thousand in all) finds its sources compiled. Without it
 * each one compiles them anew, which takes two thirds of its CPU time. The same folder as that of `./holdfast`.
 */
process.env.NODE_COMPILE_CACHE ??= path.join(
  process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'),
  'holdfast/compiled',
);

/** Tests compile to CommonJS by swc; production code runs as ESM by Node's own type stripping. */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  setupFiles: ['<rootDir>/test/support/one-realm.ts', '<rootDir>/test/support/seeded-properties.ts'],
  // For a test that hangs; no verdict depends on how fast the machine is.
  testTimeout: 900_000,
  // Tests wait for servers half of the time, so three keep two cores busy. With four, two tests were seen failing by slowness alone.
  maxWorkers: 3,
  testSequencer: '<rootDir>/test/support/heavy-first.cjs',
  transform: {
    '^.+\\.[cm]?[jt]s$': [
      '@swc/jest',
      { jsc: { target: 'es2024', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!(@noble|@scure|age-encryption|log-update|commander)/)'],
};
