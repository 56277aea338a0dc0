"""Steps for the gallery: what a person puts beside a picture, and what can be searched."""

from __future__ import annotations

from sqlite_utils import Database


def m0030_shelf(db: Database) -> None:
    """The gallery: what a person puts beside a picture, and what can be searched.

    Triggers keep both in step with the pictures, whoever writes those. The order of the indices is
    that of the lists: a page is read without a sort. Pictures of a table of products come with the
    SKU of their line, in a collection of the table's name.
    """
    for statement in _SHELF:
        db.execute(statement)


_SHELF = (
    """
    CREATE TABLE shelf (
      number INTEGER PRIMARY KEY,
      owner TEXT NOT NULL,
      release TEXT NOT NULL,
      is_starred INTEGER NOT NULL DEFAULT 0,
      is_example INTEGER NOT NULL DEFAULT 0,
      collection TEXT NOT NULL DEFAULT '',
      sku TEXT NOT NULL DEFAULT ''
    )
    """,
    """
    CREATE INDEX idx_shelf_owner ON shelf (owner, release, number)
    """,
    """
    CREATE INDEX idx_shelf_starred ON shelf (owner, release, is_starred, number)
    """,
    """
    CREATE INDEX idx_shelf_collection ON shelf (owner, release, collection, number)
    """,
    """
    CREATE INDEX idx_shelf_sku ON shelf (owner, release, sku, number)
    """,
    """
    CREATE VIRTUAL TABLE shelf_words USING fts5 (words, placed, tokenize = 'trigram')
    """,
    """
    CREATE TRIGGER shelf_words_added AFTER INSERT ON shelf BEGIN
      INSERT INTO shelf_words (rowid, words, placed) SELECT images.number, printf(
        '%s %s %s %s %s %s %s %d %dx%d %s %s %s',
        json_extract(brief, '$.subject'), json_extract(brief, '$.material'),
        json_extract(brief, '$.color'), json_extract(brief, '$.scene'),
        json_extract(brief, '$.notes'), json_extract(request, '$.prompt'),
        images.id, seed, width, height, model_name, backend,
        date(images.created_at, 'unixepoch')
      ), NEW.collection || ' ' || NEW.sku
      FROM images JOIN jobs ON jobs.id = images.job_id WHERE images.number = NEW.number;
    END;
    """,
    """
    CREATE TRIGGER shelf_words_placed AFTER UPDATE OF collection, sku ON shelf BEGIN
      UPDATE shelf_words SET placed = NEW.collection || ' ' || NEW.sku WHERE rowid = NEW.number;
    END;
    """,
    """
    CREATE TRIGGER shelf_words_removed AFTER DELETE ON shelf BEGIN
      DELETE FROM shelf_words WHERE rowid = OLD.number;
    END;
    """,
    """
    CREATE TRIGGER shelf_added AFTER INSERT ON images BEGIN
      INSERT INTO shelf (number, owner, release, sku, collection) SELECT NEW.number, NEW.owner,
        NEW.release, COALESCE(MAX(batch_rows.sku), ''), COALESCE(MAX(batches.name), '')
        FROM batch_rows JOIN batches ON batches.id = batch_rows.batch_id
        WHERE batch_rows.job_id = NEW.job_id;
    END;
    """,
    """
    CREATE TRIGGER shelf_changed AFTER UPDATE OF owner, release ON images BEGIN
      UPDATE shelf SET owner = NEW.owner, release = NEW.release WHERE number = NEW.number;
      DELETE FROM shelf WHERE number = NEW.number AND release = 'deleted';
    END;
    """,
    """
    CREATE TRIGGER shelf_removed AFTER DELETE ON images BEGIN
      DELETE FROM shelf WHERE number = OLD.number;
    END;
    """,
    """
    INSERT INTO shelf (number, owner, release) SELECT number, owner, release FROM images
    """,
)


def m0031_examples(db: Database) -> None:
    """Which jobs nobody asked for: those of the examples that a new gallery begins with.

    The indices hold the examples alone, so that lists and counts leave them out at no cost.
    """
    db.table("jobs").add_column("is_example", int, not_null_default=0)
    db.execute("CREATE INDEX idx_jobs_examples ON jobs (status) WHERE is_example")
    db.execute("CREATE INDEX idx_shelf_examples ON shelf (number, release) WHERE is_example")


def m0032_ids_apart(db: Database) -> None:
    """A picture's id is no longer among its words: a short number was found in it by chance."""
    for statement in _IDS_APART:
        db.execute(statement)


_WORDS = """
      INSERT INTO shelf_words (rowid, words, placed) SELECT images.number, printf(
        '%s %s %s %s %s %s %d %dx%d %s %s %s',
        json_extract(brief, '$.subject'), json_extract(brief, '$.material'),
        json_extract(brief, '$.color'), json_extract(brief, '$.scene'),
        json_extract(brief, '$.notes'), json_extract(request, '$.prompt'),
        seed, width, height, model_name, backend, date(images.created_at, 'unixepoch')
      ), shelf.collection || ' ' || shelf.sku
      FROM shelf JOIN images ON images.number = shelf.number JOIN jobs ON jobs.id = images.job_id
"""

_IDS_APART = (
    "DROP TRIGGER shelf_words_added",
    f"""
    CREATE TRIGGER shelf_words_added AFTER INSERT ON shelf BEGIN
      {_WORDS} WHERE shelf.number = NEW.number;
    END;
    """,
    "DELETE FROM shelf_words",
    _WORDS,
)
