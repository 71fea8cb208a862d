-- A journal as the first schema wrote it: never edit it, it stands for files that are out there.
BEGIN TRANSACTION;
CREATE TABLE artifacts (
        owner TEXT NOT NULL,
        task_id TEXT NOT NULL,
        idx INTEGER NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (owner, task_id, idx)
    );
INSERT INTO "artifacts" VALUES('0123456789abcdef','task-1',0,'{"task_id":"task-1","index":0,"kind":"image","url":"https://files.example/a.png","path":"/home/me/Downloads/novita/2026-11-22_a-red-fox_1.png","mime":"image/png","bytes":1234}');
CREATE TABLE jobs (
        key TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        task_id TEXT,
        kind TEXT NOT NULL,
        tool TEXT NOT NULL,
        model TEXT NOT NULL,
        title TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        estimate_micro INTEGER,
        counted_micro INTEGER NOT NULL DEFAULT 0,
        run TEXT NOT NULL,
        pid INTEGER NOT NULL,
        created REAL NOT NULL,
        accepted REAL,
        finished REAL,
        facts TEXT NOT NULL DEFAULT '{}'
    );
INSERT INTO "jobs" VALUES('11111111111111111111111111111111','0123456789abcdef','task-1','media','generate_image','qwen-image-txt2img','a red fox in the snow','succeeded','',20000,20000,'r1',999999999,1795300000.0,1795300000.5,1795300013.0,'{"mode": "async", "save_to": null, "took": 12.5}');
INSERT INTO "jobs" VALUES('22222222222222222222222222222222','0123456789abcdef','task-2','media','generate_video','kling','still at work','working','',NULL,100000,'r1',999999999,1795300100.0,1795300100.5,NULL,'{}');
INSERT INTO "jobs" VALUES('33333333333333333333333333333333','0123456789abcdef',NULL,'media','generate_image','qwen-image-txt2img','sent and never answered','submitting','',20000,20000,'r1',999999999,1795300200.0,NULL,NULL,'{}');
CREATE UNIQUE INDEX jobs_by_task ON jobs (owner, task_id);
CREATE INDEX jobs_by_time ON jobs (owner, created);
CREATE INDEX jobs_by_model ON jobs (model, finished);
COMMIT;
PRAGMA user_version = 1;
