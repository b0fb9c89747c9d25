import fc from 'fast-check';

/*
 * Every run of `npm test` tries the same cases, so that a verdict changes with the code only. To look further:
 * `PROPERTY_SEED=$RANDOM npm run test:one -- test/compiler/properties`; a property that fails prints its seed.
 */
fc.configureGlobal({ seed: Number(process.env.PROPERTY_SEED ?? 20261128) });
