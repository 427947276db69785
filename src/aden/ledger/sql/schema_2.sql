-- Schema 2 of the SQLite ledger: what operators order, alerts that are claimed before they are
-- raised, and what is needed to forget. Balances and journal lines of schema 1 are taken along.
CREATE TABLE schema_version (version INTEGER NOT NULL);

CREATE TABLE account (
  budget TEXT    NOT NULL PRIMARY KEY,
  raised INTEGER,
  frozen INTEGER NOT NULL DEFAULT 0,
  epoch  INTEGER NOT NULL DEFAULT 0 -- how often it was reset or raised
) WITHOUT ROWID;

CREATE TABLE alert_claim (
  budget    TEXT    NOT NULL,
  window_id TEXT    NOT NULL,
  threshold INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,
  id        TEXT    NOT NULL,
  until     REAL,    -- before this time nobody else may claim it (unix second), NULL: for good
  raised    INTEGER NOT NULL,
  forget_at REAL,
  PRIMARY KEY (budget, window_id, threshold, epoch)
) WITHOUT ROWID;
CREATE INDEX alert_claim_age ON alert_claim (forget_at) WHERE forget_at IS NOT NULL;
INSERT INTO alert_claim
  SELECT budget, window_id, threshold, 0, budget || ':' || window_id, NULL, 1,
    CASE window_id WHEN 'total' THEN NULL ELSE (strftime('%s', 'now') / 86400 + 67) * 86400.0 END
  FROM alert;

-- What programs said of their budgets: limit, unit, window.
CREATE TABLE description (
  budget TEXT NOT NULL PRIMARY KEY, -- its id, without the labels of a template
  text   TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
  id        INTEGER PRIMARY KEY,
  at        REAL NOT NULL,
  verb      TEXT NOT NULL,
  who       TEXT NOT NULL,
  why       TEXT NOT NULL,
  budget    TEXT NOT NULL,
  window_id TEXT,
  operation TEXT,
  before    INTEGER,
  after     INTEGER
);

-- When a balance is to be forgotten. Those that need not be are not here.
CREATE TABLE balance_age (
  budget    TEXT NOT NULL,
  window_id TEXT NOT NULL,
  until     REAL NOT NULL,
  PRIMARY KEY (budget, window_id)
) WITHOUT ROWID;
CREATE INDEX balance_age_until ON balance_age (until);
INSERT INTO balance_age
  SELECT budget, window_id, (strftime('%s', 'now') / 86400 + 67) * 86400.0
  FROM balance WHERE window_id <> 'total';

CREATE INDEX journal_at ON journal (at);
