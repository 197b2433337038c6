/* dead_vtable.cpp: calls a virtual function of an object that is deleted: the allocator's words are where its
 * vtable pointer was. */
#include <cstdio>

struct Shape {
    virtual ~Shape() = default;
    virtual int area() const = 0;
    long unused[6] = {};
};

struct Square : Shape {
    explicit Square(int side) : side_(side) {}
    int area() const override { return side_ * side_; }
    int side_;
};

__attribute__((noinline)) static Shape *shape_create(int side)
{
    return new Square(side); /* allocated */
}

__attribute__((noinline)) static void shape_drop(Shape *shape)
{
    delete shape; /* freed */
}

__attribute__((noinline)) static int shape_area(const Shape *shape)
{
    return shape->area() + 1; /* called */
}

int main()
{
    Shape *kept = shape_create(1);
    Shape *volatile shape = shape_create(2);
    shape_drop(shape);
    std::printf("%d\n", shape_area(shape) + kept->area());
    return 0;
}
