-- A journal as version 0.1.0 wrote it, with rows of every kind: never edit it, it stands for files that are out there.
BEGIN TRANSACTION;
CREATE TABLE artifacts (
        owner TEXT NOT NULL,
        task_id TEXT NOT NULL,
        idx INTEGER NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (owner, task_id, idx)
    );
INSERT INTO "artifacts" VALUES('0123456789abcdef','task-1',0,'{"task_id":"task-1","index":0,"kind":"image","url":"https://files.example/a.png"}');
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
    , host TEXT NOT NULL DEFAULT '', metered_micro INTEGER NOT NULL DEFAULT 0, rate_micro_day INTEGER, rate_since REAL);
INSERT INTO "jobs" VALUES('f3256d8b3f7542ddb99fcca043551cd8','0123456789abcdef','task-1','media','generate_image','qwen-image-txt2img','a red fox','succeeded','',20000,20000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436200.0,1795436202.0,1795436214.0,'{"operation": "qwen_image_txt2img", "save_to": null, "mode": "async", "asked": 1, "seed": 7, "took": 12.0}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('e5521368fa2f4615bdeaa4cfe4582f57','0123456789abcdef','task-2','media','generate_video','kling','at work','working','',NULL,100000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"operation": "kling", "save_to": "/home/me/film.mp4", "mode": "async", "look": "v2"}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('88637bd7071045808f710e2a3ad400b5','0123456789abcdef',NULL,'media','generate_image','qwen-image-txt2img','no answer','unconfirmed','no answer came',20000,20000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,NULL,1795436214.0,'{"operation": "qwen_image_txt2img", "mode": "async"}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('796c1427ca0d44259c5d1d150fa7b8b7','0123456789abcdef',NULL,'media','generate_image','qwen-image-txt2img','refused','refused','no credit',20000,0,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,NULL,1795436214.0,'{}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('95c258078dd5415cbe0a30d64a4ba72c','0123456789abcdef',NULL,'call','chat','deepseek','a talk','succeeded','',10000,4200,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,NULL,1795436214.0,'{"usd": "0.0042", "tokens": 321, "answer_id": "chat-1"}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('589a2bf52a7d455e91258063e01f5f49','0123456789abcdef','batch_1','batch','create_batch','deepseek','rows','working','',500000,500000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"content": "abc", "rows": 3, "endpoint": "/v1/chat/completions", "input_file_id": "file_1"}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('a542a8809baa4389849b85994dcb1099','0123456789abcdef','i-runs','gpu_instance','create_gpu_instance','4090','runs','working','',360000,360000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"disk_gb": 160, "billing": "onDemand", "usd_per_hour": "0.36", "resource": "i-runs", "metered_from": 1795436214.0}','vm pid:[4026531836]',0,8640000,1795436214.0);
INSERT INTO "jobs" VALUES('0a562724bc1549a8b62c7edd24e7591a','0123456789abcdef','i-rests','gpu_instance','create_gpu_instance','4090','rests','working','',360000,720000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"disk_gb": 160, "billing": "onDemand", "usd_per_hour": "0.36", "resource": "i-rests", "metered_from": 1795436214.0, "rests_since": 1795443414.0}','vm pid:[4026531836]',720000,500000,1795443414.0);
INSERT INTO "jobs" VALUES('23ba285d19c24fdab3473ebf7dcffdc0','0123456789abcdef','i-gone','gpu_instance','create_gpu_instance','4090','gone','working','',360000,720000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"disk_gb": 160, "billing": "onDemand", "usd_per_hour": "0.36", "resource": "i-gone", "metered_from": 1795436214.0, "rests_since": 1795443414.0, "ended": 1795443414}','vm pid:[4026531836]',720000,NULL,NULL);
INSERT INTO "jobs" VALUES('87c245c5d81242b9bfe750d4436d2c9e','0123456789abcdef','i-month','gpu_instance','create_gpu_instance','4090','month','working','',200360000,200360000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"disk_gb": 160, "billing": "monthly", "term_usd": "200", "resource": "i-month", "metered_from": 1795436214.0}','vm pid:[4026531836]',200000000,500000,1795436214.0);
INSERT INTO "jobs" VALUES('c74434fb8a2443c49b3b4dc22d058608','0123456789abcdef',NULL,'gpu_admin','save_gpu_volume','volume','box','succeeded','',3000000,3000000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,NULL,1795436214.0,'{"volume": ["box", "eu"], "resource": "v-1", "metered_from": 1795436214.0}','vm pid:[4026531836]',0,200000,1795436214.0);
INSERT INTO "jobs" VALUES('7c53191dcdc2443b82b92b895b494653','0123456789abcdef','e-1','endpoint','create_endpoint','4090','chat','working','',1200000,1200000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"min_workers": 2, "usd_per_worker_hour": "0.6", "resource": "e-1"}','vm pid:[4026531836]',0,28800000,1795436214.0);
INSERT INTO "jobs" VALUES('c619669f8f29428ab929fbeac61dcbc7','0123456789abcdef','gw-1','gateway_job','call_endpoint','4090','chat','working','',100000,100000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795436214.0,1795436214.0,NULL,'{"endpoint_id": "e-1", "resource": "e-1", "save_to": null, "usd_per_worker_hour": "0.6", "gateway_name": "chat"}','vm pid:[4026531836]',0,NULL,NULL);
INSERT INTO "jobs" VALUES('726d0608a44846f2b7244d01aeb5bf43','0123456789abcdef',NULL,'gpu_instance','start_gpu_instance','4090','gone','succeeded','',360000,310000,'549f9085b5fa4e1c84b1bc04639db070',10408,1795443414.0,NULL,1795443414.0,'{"disk_gb": 160, "billing": "onDemand", "usd_per_hour": "0.36", "resource": "i-billed", "usd": "0.31"}','vm pid:[4026531836]',0,NULL,NULL);
CREATE TABLE leases (
        key TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        instance_id TEXT,
        job_key TEXT,
        name TEXT NOT NULL,
        created REAL NOT NULL,
        stop_at REAL NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        claimed_until REAL NOT NULL DEFAULT 0,
        note TEXT NOT NULL DEFAULT ''
    );
INSERT INTO "leases" VALUES('6e645b8fec6c40409099c2e03b728509','0123456789abcdef','i-runs',NULL,'runs',1795443414.0,1795454214.0,'active',0,0.0,'');
INSERT INTO "leases" VALUES('d635ab1eecbb4680b5f95a02536894db','0123456789abcdef','i-rests',NULL,'rests',1795443414.0,1795447014.0,'active',0,0.0,'');
INSERT INTO "leases" VALUES('b048b0b7d3e84715b4f15022ca623b93','0123456789abcdef','endpoint:e-1',NULL,'endpoint:chat',1795443414.0,1795461414.0,'active',0,0.0,'');
INSERT INTO "leases" VALUES('b01d12f129704e5d8d99af32bfea975e','0123456789abcdef',NULL,'88637bd7071045808f710e2a3ad400b5','endpoint:lost',1795443414.0,1795461414.0,'pending',0,0.0,'');
CREATE UNIQUE INDEX jobs_by_task ON jobs (owner, task_id);
CREATE INDEX jobs_by_time ON jobs (owner, created);
CREATE INDEX jobs_by_model ON jobs (model, finished);
CREATE INDEX leases_by_state ON leases (state, stop_at);
CREATE INDEX jobs_by_task_alone ON jobs (task_id);
COMMIT;
PRAGMA user_version = 5;
