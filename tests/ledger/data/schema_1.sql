-- Schema 1 of the SQLite ledger. Amounts are integers in the budget's unit (nano-dollars for money).
-- A semicolon ends a statement here, also in a comment.
CREATE TABLE IF NOT EXISTS balance (
  budget      TEXT    NOT NULL,
  window_id   TEXT    NOT NULL,
  settled     INTEGER NOT NULL DEFAULT 0,
  unconfirmed INTEGER NOT NULL DEFAULT 0,
  held        INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (budget, window_id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS operation (
  id          TEXT    NOT NULL PRIMARY KEY,
  state       TEXT    NOT NULL CHECK (state IN ('open', 'unconfirmed', 'settled')),
  sent        INTEGER NOT NULL DEFAULT 1,
  lease_until REAL    NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS operation_lease ON operation (state, lease_until);

CREATE TABLE IF NOT EXISTS hold (
  operation TEXT    NOT NULL,
  position  INTEGER NOT NULL,
  budget    TEXT    NOT NULL,
  window_id TEXT    NOT NULL,
  amount    INTEGER NOT NULL,
  at_risk   INTEGER NOT NULL,
  PRIMARY KEY (operation, position)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS output (
  model  TEXT    NOT NULL,
  bucket INTEGER NOT NULL,
  seen   INTEGER NOT NULL,
  PRIMARY KEY (model, bucket)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS alert (
  budget    TEXT    NOT NULL,
  window_id TEXT    NOT NULL,
  threshold INTEGER NOT NULL,
  PRIMARY KEY (budget, window_id, threshold)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS journal (
  id     INTEGER PRIMARY KEY,
  at     REAL NOT NULL, -- unix second at which it was booked
  record TEXT NOT NULL
);
