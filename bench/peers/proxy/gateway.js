// A gateway as one writes it with Express: the access token verified, requests counted by address and by account, the path led to
// an upstream by http-proxy-middleware over kept connections. One process.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const express = require('express');
const { rateLimit } = require('express-rate-limit');
const { createProxyMiddleware } = require('http-proxy-middleware');
const jwt = require('jsonwebtoken');

const { keys, issuer, audience } = JSON.parse(fs.readFileSync(process.env.BENCH_KEYS, 'utf8'));
const known = new Map(keys.map((k) => [k.kid, crypto.createPublicKey({ key: k, format: 'jwk' })]));
const expected = { algorithms: ['ES256'], issuer, audience };
const LIMIT = 1e9; // counted, and never reached

const app = express();
app.disable('x-powered-by');
app.set('etag', false);
app.get('/readyz', (req, res) => res.send('ok'));
app.use(rateLimit({ windowMs: 10_000, limit: LIMIT, standardHeaders: false, legacyHeaders: false }));
app.use((req, res, next) => {
  const [scheme, token] = (req.headers.authorization || '').split(' ');
  if (scheme !== 'Bearer') return next();
  try {
    const header = JSON.parse(Buffer.from(token.split('.', 1)[0], 'base64url').toString());
    req.account = jwt.verify(token, known.get(header.kid), expected).sub;
    next();
  } catch {
    res.status(401).type('application/problem+json').send('{"status":401,"code":"token_refused"}');
  }
});
app.use(
  rateLimit({
    windowMs: 10_000,
    limit: LIMIT,
    standardHeaders: false,
    legacyHeaders: false,
    skip: (req) => !req.account,
    keyGenerator: (req) => req.account,
  }),
);
app.use(
  createProxyMiddleware({
    target: process.env.UPSTREAM,
    xfwd: true,
    agent: new http.Agent({ keepAlive: true, maxSockets: 64 }),
  }),
);
app.listen(Number(process.env.PORT), '127.0.0.1');
