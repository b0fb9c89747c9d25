/** Tests compile to CommonJS by swc; production code runs as ESM by Node's own type stripping. */
module.exports = {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  setupFiles: ['<rootDir>/test/support/one-realm.ts', '<rootDir>/test/support/seeded-properties.ts'],
  // For a test that hangs; no verdict depends on how fast the machine is.
  testTimeout: 900_000,
  // Tests wait for servers half of the time, so three keep two cores busy.
  maxWorkers: 3,
  transform: {
    '^.+\\.[cm]?[jt]s$': [
      '@swc/jest',
      { jsc: { target: 'es2024', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  transformIgnorePatterns: ['/node_modules/(?!(@noble|@scure|age-encryption|log-update|commander)/)'],
};
