CREATE USER IF NOT EXISTS `sensor` IDENTIFIED WITH sha256_password BY '<password>';

GRANT INSERT ON `default`.`DNS_LOG` TO `sensor`;

GRANT SHOW TABLES, SHOW COLUMNS ON `default`.* TO `sensor`;

GRANT SELECT ON system.clusters TO `sensor`;

GRANT SELECT ON system.columns TO `sensor`;

GRANT SELECT ON system.databases TO `sensor`;

GRANT SELECT ON system.replicas TO `sensor`;

GRANT SELECT ON system.tables TO `sensor`;

CREATE USER IF NOT EXISTS `sensor` ON CLUSTER `main` IDENTIFIED WITH sha256_password BY '<password>';

GRANT ON CLUSTER `main` INSERT ON `default`.`DNS_LOG_LOCAL` TO `sensor`;

GRANT ON CLUSTER `main` SHOW TABLES, SHOW COLUMNS ON `default`.* TO `sensor`;

GRANT ON CLUSTER `main` SELECT ON system.clusters TO `sensor`;

GRANT ON CLUSTER `main` SELECT ON system.columns TO `sensor`;

GRANT ON CLUSTER `main` SELECT ON system.databases TO `sensor`;

GRANT ON CLUSTER `main` SELECT ON system.replicas TO `sensor`;

GRANT ON CLUSTER `main` SELECT ON system.tables TO `sensor`;

CREATE USER IF NOT EXISTS `admin` IDENTIFIED WITH sha256_password BY '<password>';

GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, ALTER TTL, ALTER MATERIALIZE TTL, SELECT, INSERT, SHOW, dictGet ON `default`.* TO `admin`;

GRANT SELECT ON system.clusters TO `admin`;

GRANT SELECT ON system.columns TO `admin`;

GRANT SELECT ON system.databases TO `admin`;

GRANT SELECT ON system.replicas TO `admin`;

GRANT SELECT ON system.tables TO `admin`;

CREATE USER IF NOT EXISTS `admin` ON CLUSTER `main` IDENTIFIED WITH sha256_password BY '<password>';

GRANT ON CLUSTER `main` CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, ALTER TTL, ALTER MATERIALIZE TTL, SELECT, INSERT, SHOW, dictGet ON `default`.* TO `admin`;

GRANT ON CLUSTER `main` CLUSTER, REMOTE ON *.* TO `admin`;

GRANT ON CLUSTER `main` SELECT ON system.clusters TO `admin`;

GRANT ON CLUSTER `main` SELECT ON system.columns TO `admin`;

GRANT ON CLUSTER `main` SELECT ON system.databases TO `admin`;

GRANT ON CLUSTER `main` SELECT ON system.replicas TO `admin`;

GRANT ON CLUSTER `main` SELECT ON system.tables TO `admin`;
