"""A small SQLAlchemy 2 application: tables made, filled, queried, changed, inspected, dropped."""

import datetime
import decimal
import sys
import uuid

from sqlalchemy import (
    BigInteger, CheckConstraint, DateTime, ForeignKey, Integer, MetaData, Numeric, String, Text,
    case, cast, create_engine, delete, exists, extract, func, insert, inspect, literal, select,
    text, union_all, update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload,
)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "sa_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), nullable=False)
    born: Mapped[datetime.date | None]
    meta: Mapped[dict] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    books: Mapped[list["Book"]] = relationship(
        back_populates="author", cascade="all, delete-orphan"
    )


class Book(Base):
    __tablename__ = "sa_book"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    title: Mapped[str] = mapped_column(Text, index=True)
    price: Mapped[decimal.Decimal] = mapped_column(
        Numeric(10, 2), CheckConstraint("price >= 0", name="price_positive")
    )
    key: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), default=uuid.uuid4)
    created: Mapped[datetime.datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now()
    )
    author_id: Mapped[int] = mapped_column(ForeignKey("sa_author.id", ondelete="CASCADE"))
    author: Mapped[Author] = relationship(back_populates="books")


engine = create_engine(sys.argv[1])
Base.metadata.drop_all(engine)
Base.metadata.create_all(engine)
Base.metadata.create_all(engine)

with Session(engine) as session:
    ann = Author(
        name="Ann",
        born=datetime.date(1970, 1, 2),
        tags=["x", "y"],
        books=[
            Book(title="One", price=decimal.Decimal("1.50")),
            Book(title="Two", price=decimal.Decimal("2.25")),
        ],
    )
    session.add_all([ann, Author(name="Bob", meta={"k": [1, 2]})])
    session.commit()
    assert ann.id and all(book.id for book in ann.books)
    assert ann.books[0].created.tzinfo is not None

with Session(engine) as session:
    def all_of(query):
        return session.execute(query).scalars().all()

    authors = all_of(select(Author).options(selectinload(Author.books)).order_by(Author.name))
    assert [author.name for author in authors] == ["Ann", "Bob"]
    assert authors[1].meta == {"k": [1, 2]} and authors[0].tags == ["x", "y"]
    counted = session.execute(
        select(Author.name, func.count(Book.id), func.sum(Book.price))
        .join(Book, isouter=True)
        .group_by(Author.id)
        .order_by(Author.name)
    ).all()
    assert counted[0][1:] == (2, decimal.Decimal("3.75")), counted
    wanted = Author.books.any(Book.title.like("O%"))
    joined = session.execute(select(Author).options(joinedload(Author.books)).where(wanted))
    assert len(joined.unique().scalars().all()) == 1
    assert len(all_of(select(Author).where(Author.meta["k"][0].as_integer() == 1))) == 1
    assert len(all_of(select(Author).where(Author.tags.contains(["x"])))) == 1
    assert len(all_of(select(Book).where(Book.title.ilike("t%")).limit(1).offset(0))) == 1
    assert len(session.execute(select(func.row_number().over(order_by=Book.title))).all()) == 2
    assert session.execute(select(exists().where(Book.id > 0))).scalar() is True
    best = select(Book.author_id, func.max(Book.price).label("m")).group_by(Book.author_id)
    best = best.subquery()
    assert len(session.execute(select(Author.name, best.c.m).join(best, best.c.author_id == Author.id)).all()) == 1
    dear = select(Book).where(Book.price > 1).cte("dear")
    assert session.execute(select(func.count()).select_from(dear)).scalar() == 2
    year = select(extract("year", Author.born)).where(Author.born.is_not(None))
    assert session.execute(year).scalar() == 1970
    kinds = all_of(select(case((Book.price > 2, "dear"), else_="cheap")).order_by(Book.id))
    assert kinds == ["cheap", "dear"], kinds
    assert len(all_of(union_all(select(literal(1)), select(literal(2))))) == 2
    assert session.execute(select(cast("5", Integer))).scalar() == 5

with Session(engine) as session:
    ann = session.execute(select(Author).where(Author.name == "Ann")).scalar_one()
    ann.name = "Anna"
    ann.books[0].price = decimal.Decimal("9.99")
    session.flush()
    session.execute(
        update(Book).where(Book.title == "Two").values(price=Book.price + 1).returning(Book.price)
    )
    session.execute(
        upsert(Author)
        .values(id=ann.id, name="dup")
        .on_conflict_do_update(index_elements=["id"], set_={"name": "Upd"})
    )
    many = session.execute(
        insert(Author).returning(Author.id), [{"name": f"m{n}"} for n in range(5)]
    )
    assert len(many.all()) == 5
    session.execute(delete(Author).where(Author.name.like("m%")))
    with session.begin_nested():
        session.add(Author(name="nested"))
    try:
        with session.begin_nested():
            session.execute(text("SELECT 1/0"))
    except Exception as error:
        assert "division by zero" in str(error), error
    session.commit()
    session.delete(session.get(Author, ann.id))
    session.commit()
    assert session.execute(select(func.count(Book.id))).scalar() == 0
    session.add(Book(title="x", price=-1, author_id=999))
    try:
        session.commit()
    except IntegrityError as error:
        session.rollback()
        assert error.orig.diag.constraint_name == "price_positive", error
    else:
        raise AssertionError("a negative price was taken")

inspector = inspect(engine)
assert {"sa_author", "sa_book"} <= set(inspector.get_table_names())
assert inspector.has_table("sa_book") and "public" in inspector.get_schema_names()
columns = {c["name"]: c for c in inspector.get_columns("sa_book")}
assert list(columns) == ["id", "title", "price", "key", "created", "author_id"]
assert str(columns["price"]["type"]) == "NUMERIC(10, 2)", columns["price"]
assert columns["id"]["default"] == "nextval('sa_book_id_seq'::regclass)", columns["id"]
assert inspector.get_pk_constraint("sa_book")["constrained_columns"] == ["id"]
foreign = inspector.get_foreign_keys("sa_book")
assert [(f["constrained_columns"], f["referred_table"], f["options"]) for f in foreign] == [
    (["author_id"], "sa_author", {"ondelete": "CASCADE"})
], foreign
indexes = [(i["name"], i["column_names"], i["unique"]) for i in inspector.get_indexes("sa_book")]
assert indexes == [("ix_sa_book_title", ["title"], False)], indexes
assert [c["name"] for c in inspector.get_check_constraints("sa_book")] == ["price_positive"]
inspector.get_unique_constraints("sa_book")
inspector.get_table_comment("sa_book")
inspector.get_enums()
inspector.get_view_names()
inspector.get_sequence_names()
reflected = MetaData()
reflected.reflect(engine, only=["sa_book", "sa_author"])
assert sorted(reflected.tables) == ["sa_author", "sa_book"]
Base.metadata.drop_all(engine)
print("fine")
