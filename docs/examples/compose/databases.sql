-- For the contexts as services; the whole shop uses the database `shop`.
CREATE DATABASE inventory;
CREATE DATABASE payments;
CREATE DATABASE notifications;
